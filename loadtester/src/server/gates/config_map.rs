//! Gates in a ConfigMap: one key each, so that replicas that change different gates at once never meet, and who may
//! patch the ConfigMap can open one without reaching the load tester.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::api_server::{Answer, ApiServer};
use super::{Gate, GateError, Table};

/// `NAME` in the load tester's own namespace, or `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigMapName {
    namespace: Option<String>,
    name: String,
}

impl ConfigMapName {
    /// The same in `namespace`, unless it names one itself.
    pub(crate) fn or_in(self, namespace: &str) -> Self {
        Self {
            namespace: self.namespace.or_else(|| Some(namespace.to_owned())),
            ..self
        }
    }
}

impl FromStr for ConfigMapName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, text),
        };
        // They become parts of a path, where a dot alone would lead elsewhere.
        let is_name = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        if is_name(name) && namespace.as_deref().is_none_or(is_name) {
            Ok(Self {
                namespace,
                name: name.to_owned(),
            })
        } else {
            Err(format!(
                "`{text}` names no ConfigMap: write NAME or NAMESPACE/NAME"
            ))
        }
    }
}

impl fmt::Display for ConfigMapName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "{namespace}/{}", self.name),
            None => out.write_str(&self.name),
        }
    }
}

/// A ConfigMap whose keys are gates and whose values are [`Gate`]s as JSON, or `open` or `closed`.
#[derive(Debug)]
pub(crate) struct ConfigMap {
    api_server: ApiServer,
    name: ConfigMapName,
}

/// What is of interest in the object, or is to become of it.
#[derive(Deserialize, Serialize)]
struct Object {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl ConfigMap {
    /// The ConfigMap of this name. Whether it exists and may be read shows when it is.
    pub(crate) fn new(api_server: ApiServer, name: ConfigMapName) -> Self {
        let name = name.or_in(api_server.namespace());
        Self { api_server, name }
    }

    /// One gate; what the other keys hold does not matter.
    ///
    /// # Errors
    /// The ConfigMap cannot be read, or the key holds something else than a gate.
    pub(super) async fn gate(&self, key: &str) -> Result<Option<Gate>, GateError> {
        let text = self.data().await?.remove(key);
        text.map(|text| self.gate_of(key, &text)).transpose()
    }

    /// # Errors
    /// The ConfigMap cannot be read, or a key holds something else than a gate.
    pub(super) async fn all(&self) -> Result<Table, GateError> {
        let gate = |(key, text): (String, String)| Ok((key.clone(), self.gate_of(&key, &text)?));
        self.data().await?.into_iter().map(gate).collect()
    }

    async fn data(&self) -> Result<BTreeMap<String, String>, GateError> {
        let answer = self.call(Method::GET, Vec::new()).await?;
        let object = serde_json::from_slice::<Object>(&answer.body);
        Ok(object.map_err(|error| self.failed(error))?.data)
    }

    fn gate_of(&self, key: &str, text: &str) -> Result<Gate, GateError> {
        gate_of(text).map_err(|error| self.failed(format!("key {key} holds `{text}`: {error}")))
    }

    /// # Errors
    /// It cannot be written; the gate is then as before, unless the API server was lost in between.
    pub(super) async fn set(&self, key: &str, gate: &Gate) -> Result<(), GateError> {
        let text = serde_json::to_string(gate).map_err(|error| self.failed(error))?;
        let patch = Object {
            data: BTreeMap::from([(key.to_owned(), text)]),
        };
        let patch = serde_json::to_vec(&patch).map_err(|error| self.failed(error))?;
        self.call(Method::PATCH, patch).await.map(drop)
    }

    async fn call(&self, method: Method, body: Vec<u8>) -> Result<Answer, GateError> {
        let ConfigMapName { namespace, name } = &self.name;
        let namespace = namespace.as_deref().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        let answer = self.api_server.call(method.clone(), &path, body).await;
        let answer = answer.map_err(|error| self.failed(format!("{error:#}")))?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            _ => Err(self.failed(refusal(&self.name, &method, &answer))),
        }
    }

    fn failed(&self, why: impl fmt::Display) -> GateError {
        GateError::ConfigMap(self.name.clone(), why.to_string())
    }
}

/// What the API server said instead of doing it, and what helps.
fn refusal(name: &ConfigMapName, method: &Method, answer: &Answer) -> String {
    let said = answer.message();
    let ConfigMapName { namespace, name } = name;
    let namespace = namespace.as_deref().unwrap_or_default();
    match answer.status {
        StatusCode::NOT_FOUND if answer.is_not_found() => {
            format!("{said}; create it with `kubectl -n {namespace} create configmap {name}`")
        }
        StatusCode::UNAUTHORIZED => format!(
            "{said}; the API server does not accept the token in --service-account-dir: is it that of this pod's \
             ServiceAccount, and does that still exist?"
        ),
        // An admission webhook refuses with this code too.
        StatusCode::FORBIDDEN if said.contains("\" cannot ") => {
            format!(
                "{said}; the load tester's ServiceAccount needs a Role with get and patch on it"
            )
        }
        status => format!("{method} was answered with {status}: {said}"),
    }
}

/// A gate as the load tester writes it, or the one word that a person does.
fn gate_of(text: &str) -> Result<Gate, String> {
    let by_hand = |open| Gate {
        open,
        changed_by: "an edit of the ConfigMap".to_owned(),
        changed_at: None,
    };
    match text.trim() {
        "open" => Ok(by_hand(true)),
        "closed" => Ok(by_hand(false)),
        json => serde_json::from_str(json)
            .map_err(|_| "write open or closed, or delete the key to close the gate".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_a_word_and_the_load_tester_who_changed_it_when() {
        assert!(gate_of("open\n").unwrap().open);
        assert!(!gate_of("closed").unwrap().open);
        for wrong in ["", "opened", "true", "{}"] {
            assert!(gate_of(wrong).is_err(), "{wrong}");
        }
        let written = Gate {
            open: true,
            changed_by: "alice (10.1.2.3)".to_owned(),
            changed_at: Some(1_700_000_000),
        };
        assert_eq!(
            gate_of(&serde_json::to_string(&written).unwrap()),
            Ok(written)
        );
    }

    #[test]
    fn a_refusal_says_what_helps() {
        let name = "shop/gates".parse().unwrap();
        let forbidden =
            "configmaps \"gates\" is forbidden: User \"x\" cannot get resource \"configmaps\"";
        let denied = "admission webhook \"x\" denied the request: No.";
        for (status, reason, message, part) in [
            (401, "Unauthorized", "No.", "does not accept the token"),
            (403, "Forbidden", forbidden, "needs a Role"),
            (403, "Forbidden", denied, "GET was answered with 403"),
            (
                404,
                "NotFound",
                "No.",
                "kubectl -n shop create configmap gates",
            ),
            (500, "InternalError", "No.", "GET was answered with 500"),
        ] {
            let body = serde_json::json!({ "reason": reason, "message": message });
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                body: body.to_string().into(),
            };
            let refusal = refusal(&name, &Method::GET, &answer);
            assert!(refusal.contains(message), "{refusal}");
            assert!(refusal.contains(part), "{status}: {refusal}");
        }
    }

    #[test]
    fn a_server_in_its_first_moments_does_not_say_that_the_config_map_is_missing() {
        let answer = Answer {
            status: StatusCode::NOT_FOUND,
            body: "404 page not found\n".into(),
        };
        assert_eq!(
            refusal(&"shop/gates".parse().unwrap(), &Method::GET, &answer),
            "GET was answered with 404 Not Found: 404 page not found"
        );
    }

    #[test]
    fn a_name_is_in_the_own_namespace_unless_it_names_another() {
        let name = |text: &str| {
            text.parse::<ConfigMapName>()
                .map(|name| name.or_in("test").to_string())
        };
        assert_eq!(name("gates"), Ok("test/gates".to_owned()));
        assert_eq!(name("shop/gates"), Ok("shop/gates".to_owned()));
        for wrong in [
            "", "/", "a/", "/b", "a/b/c", "a b", "a/../b", "..", "a/..", "a?b",
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
