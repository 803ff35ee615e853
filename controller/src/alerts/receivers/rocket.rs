//! Rocket.Chat's incoming webhook.

use serde_json::Value;

use super::{Receiver, slack::attachment};
use crate::alerts::message::Message;

pub(super) struct Rocket;

impl Receiver for Rocket {
    fn body(&self, message: &Message) -> Value {
        let color = if message.is_error {
            "#FF0000"
        } else {
            "#0076D7"
        };
        attachment(message, color)
    }
}
