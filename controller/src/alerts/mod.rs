//! Sends alerts to chat services.
//!
//! - [`message`]: the message of an alert
//! - [`receivers`]: chat services, one file each

pub mod message;
pub mod receivers;

use std::{collections::BTreeMap, time::Duration};

use tracing::warn;

use crate::{
    api::AlertProviderSpec,
    process::http::{Connection, Method, Request, Transport},
};
use message::Message;

/// Builds the request that sends a message to an AlertProvider. `secret` has the values of its Secret.
///
/// # Errors
/// A message if the address is missing or the type is unknown.
pub fn request(
    provider: &AlertProviderSpec,
    secret: &BTreeMap<String, String>,
    mut message: Message,
) -> Result<Request, String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(channel) = given(&provider.channel) {
        message.channel = channel;
    }
    if let Some(username) = given(&provider.username) {
        message.username = username;
    }
    let address = match (&provider.secret_ref, secret.get("address")) {
        (Some(_), Some(address)) => address.clone(),
        (Some(reference), None) => {
            return Err(format!("secret {} has no key address", reference.name));
        }
        (None, _) => given(&provider.address).ok_or("neither address nor secretRef is given")?,
    };
    let receiver = receivers::find(&provider.type_)
        .ok_or_else(|| format!("unknown alert provider {}", provider.type_))?;
    let token = secret.get("token").filter(|_| receiver.takes_token());
    Ok(Request {
        method: Method::Post,
        url: receiver.address(address),
        headers: token
            .map(|token| ("Authorization".to_owned(), format!("Bearer {token}")))
            .into_iter()
            .collect(),
        body: Some(receiver.body(&message).to_string()),
        timeout: Duration::from_secs(5),
        connection: Connection {
            insecure: false,
            proxy: given(&provider.proxy),
        },
    })
}

/// Sends an alert and logs failures. The log has no address, because it is a secret.
pub async fn send(transport: &dyn Transport, canary: &str, request: Request) {
    match transport.send(request).await {
        Ok(response) if response.is_success() => {}
        Ok(response) => warn!(
            canary,
            status = response.status_text(),
            "alert was rejected"
        ),
        Err(_) => warn!(canary, "alert could not be sent"),
    }
}

#[cfg(test)]
mod tests;
