//! Verdicts: broken conditions of ended load tests, kept for the next webhook of the same revision.

use std::collections::VecDeque;

use super::payload::Payload;

/// Maximum number of verdicts. A revision whose verdict is dropped passes once, so there are many more than tasks.
const KEPT: usize = 500;

/// Identifies tasks of which only one runs at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) canary: String,
    kind: String,
    pub(super) command: String,
}

impl Key {
    pub(super) fn of(payload: &Payload) -> Self {
        Self {
            canary: payload.canary(),
            kind: payload.kind().to_owned(),
            command: payload.get("cmd").unwrap_or_default().to_owned(),
        }
    }
}

/// At most one verdict per key, the oldest first.
#[derive(Default)]
pub(super) struct Verdicts(VecDeque<Verdict>);

struct Verdict {
    key: Key,
    checksum: String,
    sentence: String,
}

impl Verdicts {
    /// Keeps a broken condition of the revision with this checksum.
    pub(super) fn keep(&mut self, key: Key, checksum: String, sentence: String) {
        self.0.retain(|verdict| verdict.key != key);
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Verdict {
            key,
            checksum,
            sentence,
        });
    }

    /// Removes the verdict of this key and returns it if it is about the same revision.
    pub(super) fn take(&mut self, key: &Key, checksum: &str) -> Option<String> {
        let at = self.0.iter().position(|verdict| verdict.key == *key)?;
        let verdict = self.0.remove(at)?;
        (verdict.checksum == checksum).then_some(verdict.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, command: &str) -> Key {
        let (canary, kind, command) = ("app.shop".into(), kind.into(), command.into());
        Key {
            canary,
            kind,
            command,
        }
    }

    #[test]
    fn a_verdict_is_returned_once_and_only_for_its_revision() {
        let mut verdicts = Verdicts::default();
        let hey = key("cmd", "hey");
        verdicts.keep(hey.clone(), "a1".into(), "old".into());
        verdicts.keep(hey.clone(), "a1".into(), "new".into());
        assert_eq!(verdicts.take(&key("helm", "hey"), "a1"), None);
        assert_eq!(verdicts.take(&hey, "a1").as_deref(), Some("new"));
        assert_eq!(verdicts.take(&hey, "a1"), None);
        verdicts.keep(hey.clone(), "a1".into(), "new".into());
        assert_eq!(verdicts.take(&hey, "b2"), None);
        assert_eq!(verdicts.take(&hey, "a1"), None);
    }

    #[test]
    fn the_oldest_verdicts_are_dropped() {
        let mut verdicts = Verdicts::default();
        for command in 0..KEPT + 2 {
            let key = key("cmd", &command.to_string());
            verdicts.keep(key, String::new(), "missed".into());
        }
        assert_eq!(verdicts.0.len(), KEPT);
        assert_eq!(verdicts.take(&key("cmd", "1"), ""), None);
        assert!(verdicts.take(&key("cmd", "2"), "").is_some());
    }
}
