//! The bodies that chat services expect.

use serde_json::{Value, json};

use super::Message;

/// Slack's incoming webhook; Discord reads it too.
pub(super) fn slack(message: &Message) -> Value {
    attachment(message, if message.is_error { "danger" } else { "good" })
}

/// Rocket.Chat's incoming webhook.
pub(super) fn rocket(message: &Message) -> Value {
    attachment(
        message,
        if message.is_error {
            "#FF0000"
        } else {
            "#0076D7"
        },
    )
}

fn attachment(message: &Message, color: &str) -> Value {
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

/// Microsoft Teams' connector card.
pub(super) fn teams(message: &Message) -> Value {
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

/// Google Chat's cards.
pub(super) fn gchat(message: &Message) -> Value {
    let paragraph = |text: String| json!({ "widgets": [{ "textParagraph": { "text": text } }] });
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
