//! Microsoft Teams' incoming webhook, with connector cards.

use serde_json::{Value, json};

use super::Receiver;
use crate::alerts::message::Message;

pub(super) struct MsTeams;

impl Receiver for MsTeams {
    fn body(&self, message: &Message) -> Value {
        let facts: Vec<_> = message
            .fields
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        json!({
            "@type": "MessageCard",
            "@context": "http://schema.org/extensions",
            "themeColor": if message.is_error { "FF0000" } else { "0076D7" },
            "summary": format!("{}: {}", message.title, message.text),
            "sections": [{
                "activityTitle": message.text,
                "activitySubtitle": message.title,
                "facts": facts,
            }],
        })
    }
}
