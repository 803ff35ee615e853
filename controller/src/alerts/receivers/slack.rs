//! Slack's incoming webhook.

use serde_json::{Value, json};

use super::Receiver;
use crate::alerts::message::Message;

pub(super) struct Slack;

impl Receiver for Slack {
    fn body(&self, message: &Message) -> Value {
        attachment(message, if message.is_error { "danger" } else { "good" })
    }

    fn takes_token(&self) -> bool {
        true
    }
}

/// Builds a message with one attachment of this colour. Other services accept the same format.
pub(super) fn attachment(message: &Message, color: &str) -> Value {
    let fields: Vec<_> = message
        .fields
        .iter()
        .map(|(title, value)| json!({ "title": title, "value": value, "short": false }))
        .collect();
    json!({
        "channel": message.channel,
        "username": message.username,
        "icon_url": "",
        "icon_emoji": ":rocket:",
        "attachments": [{
            "color": color,
            "author_name": message.title,
            "text": message.text,
            "mrkdwn_in": ["text"],
            "fields": fields,
        }],
    })
}
