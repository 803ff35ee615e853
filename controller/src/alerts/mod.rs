//! Alerts to chat services. A service is one line in `SERVICES` and its payload in `payload`.

mod payload;

use std::{collections::BTreeMap, time::Duration};

use canary_engine::action::{Alert, Severity};
use serde_json::Value;
use tracing::warn;

use crate::{
    api::AlertProviderSpec,
    process::{
        http::{Connection, Method, Request, Transport},
        settings::{GlobalNotifier, Settings},
    },
    release::Release,
};

/// Everything a payload is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `CANARY.NAMESPACE`
    pub title: String,
    /// What happened.
    pub text: String,
    /// Further fields, in order.
    pub fields: Vec<(String, String)>,
    /// Whether it is bad news.
    pub is_error: bool,
    /// Channel.
    pub channel: String,
    /// User shown.
    pub username: String,
}

type Payload = fn(&Message) -> Value;

/// Every service by the name that AlertProviders use.
const SERVICES: [(&str, Payload); 5] = [
    ("slack", payload::slack),
    ("msteams", payload::teams),
    ("discord", payload::slack),
    ("rocket", payload::rocket),
    ("gchat", payload::gchat),
];

/// Whether there is a service of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    SERVICES.iter().any(|(known, _)| *known == name)
}

/// The names of all services.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SERVICES.iter().map(|(name, _)| *name).collect()
}

/// The message of an alert.
#[must_use]
pub fn message(release: &Release, alert: &Alert, settings: &Settings) -> Message {
    let mut fields = Vec::new();
    if let Some(cluster) = &settings.cluster_name {
        fields.push(("Cluster".to_owned(), cluster.clone()));
    }
    if alert.with_metadata {
        let canary = &release.canary;
        let target = format!(
            "{}/{}.{}",
            canary.target.kind.as_str(),
            canary.target.name,
            canary.namespace
        );
        fields.push(("Target".to_owned(), target));
        fields.push((
            "Failed checks threshold".to_owned(),
            canary.analysis.threshold.to_string(),
        ));
        fields.push((
            "Progress deadline".to_owned(),
            format!("{}s", canary.progress_deadline.as_secs()),
        ));
        fields.push((
            "Traffic routing".to_owned(),
            canary.analysis.strategy.summary(),
        ));
    }
    Message {
        title: format!("{}.{}", release.canary.name, release.canary.namespace),
        text: alert.message.clone(),
        fields,
        is_error: alert.severity == Severity::Error,
        channel: "general".to_owned(),
        username: "flagger".to_owned(),
    }
}

/// The call that sends a message to an AlertProvider, with the values of its Secret.
///
/// # Errors
/// When there is no address, in words.
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
    let found = SERVICES.iter().find(|(name, _)| *name == provider.type_);
    let (_, payload) = found.ok_or_else(|| format!("unknown alert provider {}", provider.type_))?;
    let token = secret.get("token").cloned();
    Ok(post(
        &provider.type_,
        address,
        token,
        given(&provider.proxy),
        payload(&message),
    ))
}

/// The call that sends a message to the controller's own notifier.
#[must_use]
pub fn global_request(notifier: &GlobalNotifier, mut message: Message) -> Request {
    match notifier {
        GlobalNotifier::Slack {
            url,
            token,
            user,
            channel,
        } => {
            message.username.clone_from(user);
            message.channel.clone_from(channel);
            post(
                "slack",
                url.clone(),
                token.clone(),
                None,
                payload::slack(&message),
            )
        }
        GlobalNotifier::Teams { url } => {
            post("msteams", url.clone(), None, None, payload::teams(&message))
        }
    }
}

fn post(
    service: &str,
    address: String,
    token: Option<String>,
    proxy: Option<String>,
    body: Value,
) -> Request {
    // Discord understands Slack's payload at this address.
    let url = match service {
        "discord" if !address.ends_with("/slack") => format!("{address}/slack"),
        _ => address,
    };
    let token = token.filter(|_| service == "slack");
    Request {
        method: Method::Post,
        url,
        headers: token
            .map(|token| ("Authorization".to_owned(), format!("Bearer {token}")))
            .into_iter()
            .collect(),
        body: Some(body.to_string()),
        timeout: Duration::from_secs(5),
        connection: Connection {
            insecure: false,
            proxy,
        },
    }
}

/// Sends an alert; trouble is logged, without the address, which is a secret.
pub async fn send(transport: &dyn Transport, canary: &str, request: Request) {
    match transport.send(request).await {
        Ok(response) if response.is_success() => {}
        Ok(response) => warn!(canary, status = response.status_text(), "alert was refused"),
        Err(_) => warn!(canary, "alert could not be sent"),
    }
}

#[cfg(test)]
mod tests;
