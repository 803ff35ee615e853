//! Chat services that alerts are sent to, one file each.
//!
//! A receiver is its file and one line in `RECEIVERS`.

mod discord;
mod gchat;
mod msteams;
mod rocket;
mod slack;

use serde_json::Value;

use super::message::Message;

/// A chat service.
pub trait Receiver: Send + Sync {
    /// The body of the call.
    fn body(&self, message: &Message) -> Value;

    /// The address of the call, from the one that the AlertProvider gives.
    fn address(&self, given: String) -> String {
        given
    }

    /// Whether the call carries the `token` of the AlertProvider's Secret as a bearer token.
    fn takes_token(&self) -> bool {
        false
    }
}

/// Every receiver by the name that AlertProviders use.
const RECEIVERS: [(&str, &dyn Receiver); 5] = [
    ("slack", &slack::Slack),
    ("msteams", &msteams::MsTeams),
    ("discord", &discord::Discord),
    ("rocket", &rocket::Rocket),
    ("gchat", &gchat::GChat),
];

/// The receiver of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Receiver> {
    let found = RECEIVERS.iter().find(|(known, _)| *known == name);
    found.map(|(_, receiver)| *receiver)
}

/// The names of all receivers.
#[must_use]
pub fn names() -> Vec<&'static str> {
    RECEIVERS.iter().map(|(name, _)| *name).collect()
}
