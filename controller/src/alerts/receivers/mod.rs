//! Chat services, one file each.
//!
//! To add a receiver, add a file and one line in `RECEIVERS`.

mod discord;
mod gchat;
mod msteams;
mod rocket;
mod slack;

use serde_json::Value;

use super::message::Message;

/// A chat service.
pub trait Receiver: Send + Sync {
    /// Builds the body of the request.
    fn body(&self, message: &Message) -> Value;

    /// Derives the URL of the request from the address of the AlertProvider.
    fn address(&self, given: String) -> String {
        given
    }

    /// Reports whether the request carries the `token` of the AlertProvider's Secret as a bearer token.
    fn takes_token(&self) -> bool {
        false
    }
}

/// All receivers, by the name that AlertProviders use.
const RECEIVERS: [(&str, &dyn Receiver); 5] = [
    ("slack", &slack::Slack),
    ("msteams", &msteams::MsTeams),
    ("discord", &discord::Discord),
    ("rocket", &rocket::Rocket),
    ("gchat", &gchat::GChat),
];

/// Returns the receiver with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Receiver> {
    let found = RECEIVERS.iter().find(|(known, _)| *known == name);
    found.map(|(_, receiver)| *receiver)
}

/// Returns the names of all receivers.
#[must_use]
pub fn names() -> Vec<&'static str> {
    RECEIVERS.iter().map(|(name, _)| *name).collect()
}
