//! Discord's incoming webhook. It accepts Slack's format at the path `/slack`.

use serde_json::Value;

use super::{Receiver, slack::Slack};
use crate::alerts::message::Message;

pub(super) struct Discord;

impl Receiver for Discord {
    fn body(&self, message: &Message) -> Value {
        Slack.body(message)
    }

    fn address(&self, given: String) -> String {
        if given.ends_with("/slack") {
            given
        } else {
            format!("{given}/slack")
        }
    }
}
