//! Google Chat's incoming webhook, with cards.

use serde_json::{Value, json};

use super::Receiver;
use crate::alerts::message::Message;

pub(super) struct GChat;

impl Receiver for GChat {
    fn body(&self, message: &Message) -> Value {
        let paragraph =
            |text: String| json!({ "widgets": [{ "textParagraph": { "text": text } }] });
        let color = if message.is_error {
            "#FF0000"
        } else {
            "#0076D7"
        };
        let mut sections = vec![paragraph(format!(
            "<font color=\"{color}\">{}</font>",
            message.text
        ))];
        sections.extend(
            message
                .fields
                .iter()
                .map(|(name, value)| paragraph(format!("<b>{name}</b>: {value}"))),
        );
        json!({
            "cards": [{
                "header": { "title": "Flagger", "subtitle": message.title, "imageUrl": "" },
                "sections": sections,
            }],
        })
    }
}
