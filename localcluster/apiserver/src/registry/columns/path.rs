//! The JSONPath that printer columns use: fields, indexes, wildcards and equality filters.

use serde_json::Value;

/// A parsed path. One that cannot be understood finds nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct JsonPath(Option<Vec<Step>>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items whose value at the path equals the literal (or differs from it).
    Filter {
        path: Vec<Step>,
        equal: bool,
        literal: Value,
    },
}

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim().trim_start_matches('{').trim_end_matches('}');
        Self(steps(text.strip_prefix('$').unwrap_or(text)))
    }

    /// The first value found.
    pub(crate) fn first<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        find(object, self.0.as_deref()?).into_iter().next()
    }
}

fn steps(mut text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !text.is_empty() {
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, rest) = split_bracket(rest)?;
            steps.push(bracket(inside.trim())?);
            text = rest;
        } else {
            let rest = text.strip_prefix('.').unwrap_or(text);
            let (name, rest) = field_name(rest);
            match name.as_str() {
                "" => return None,
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            text = rest;
        }
    }
    Some(steps)
}

/// A field's name up to the next separator; a backslash takes away the meaning of what follows.
fn field_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '.' | '[' => return (name, &text[index..]),
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            other => name.push(other),
        }
    }
    (name, "")
}

/// Splits at the bracket that closes the one just opened, which is not one inside quotes.
fn split_bracket(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut depth = 0;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some((&text[..index], &text[index + 1..])),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(inside: &str) -> Option<Step> {
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = inside
        .strip_prefix("?(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        let (equal, operator) = if filter.contains("!=") {
            (false, "!=")
        } else {
            (true, "==")
        };
        let (path, literal) = filter.split_once(operator)?;
        let path = steps(path.trim().strip_prefix('@')?)?;
        let literal = literal.trim();
        let literal = match unquoted(literal) {
            Some(text) => text.into(),
            None => serde_json::from_str(literal).ok()?,
        };
        return Some(Step::Filter {
            path,
            equal,
            literal,
        });
    }
    match unquoted(inside) {
        Some(name) => Some(Step::Field(name.to_owned())),
        None => inside.parse().ok().map(Step::Index),
    }
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

fn find<'a>(value: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return vec![value];
    };
    let next: Vec<&Value> = match (step, value) {
        (Step::Field(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let index = if *index < 0 { length + index } else { *index };
            usize::try_from(index)
                .ok()
                .and_then(|index| items.get(index))
                .into_iter()
                .collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(fields)) => fields.values().collect(),
        (
            Step::Filter {
                path,
                equal,
                literal,
            },
            Value::Array(items),
        ) => items
            .iter()
            .filter(|item| find(item, path).contains(&literal) == *equal)
            .collect(),
        _ => Vec::new(),
    };
    next.into_iter()
        .flat_map(|value| find(value, rest))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_what_they_name() {
        let object = json!({
            "metadata": { "labels": { "a.b/c": "label" } },
            "status": { "conditions": [
                { "type": "Synced", "status": "False" },
                { "type": "Ready", "status": "True" },
            ] },
        });
        for (path, expected) in [
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                json!("True"),
            ),
            (
                ".status.conditions[?(@.type!='Ready')].status",
                json!("False"),
            ),
            ("{.status.conditions[0].type}", json!("Synced")),
            (".status.conditions[-1].type", json!("Ready")),
            ("$.status.conditions[*].type", json!("Synced")),
            (".metadata.labels['a.b/c']", json!("label")),
            (".metadata.labels.a\\.b/c", json!("label")),
        ] {
            assert_eq!(
                JsonPath::parse(path).first(&object),
                Some(&expected),
                "{path}"
            );
        }
        for path in [
            ".spec",
            ".status.conditions[7]",
            ".status[",
            "..",
            ".a[?(x)]",
        ] {
            assert_eq!(JsonPath::parse(path).first(&object), None, "{path}");
        }
    }
}
