//! Gates in a ConfigMap. Each gate has its own key, so replicas can change different gates at the same time without
//! conflicts. Whoever may patch the ConfigMap can open a gate without access to the load tester.

use std::collections::BTreeMap;
use std::fmt;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::api_server::{ApiServer, Response};
use super::gate::{Gate, GateError, Table};
use super::name::ConfigMapName;

/// A ConfigMap whose keys are gates and whose values are [`Gate`]s as JSON, or `open` or `closed`.
#[derive(Debug)]
pub(crate) struct ConfigMap {
    api_server: ApiServer,
    name: ConfigMapName,
}

/// The part of the object that is read and patched.
#[derive(Deserialize, Serialize)]
struct Object {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl ConfigMap {
    /// The ConfigMap of this name. It is not read before a gate is needed.
    pub(crate) fn new(api_server: ApiServer, name: ConfigMapName) -> Self {
        let name = name.or_in(api_server.namespace());
        Self { api_server, name }
    }

    /// One gate. Other keys may be malformed.
    ///
    /// # Errors
    /// The ConfigMap cannot be read, or the value is not a gate.
    pub(super) async fn gate(&self, key: &str) -> Result<Option<Gate>, GateError> {
        let text = self.data().await?.remove(key);
        text.map(|text| self.gate_of(key, &text)).transpose()
    }

    /// All gates.
    ///
    /// # Errors
    /// The ConfigMap cannot be read, or a value is not a gate.
    pub(super) async fn all(&self) -> Result<Table, GateError> {
        let gate = |(key, text): (String, String)| Ok((key.clone(), self.gate_of(&key, &text)?));
        self.data().await?.into_iter().map(gate).collect()
    }

    async fn data(&self) -> Result<BTreeMap<String, String>, GateError> {
        let response = self.call(Method::GET, Vec::new()).await?;
        let object = serde_json::from_slice::<Object>(&response.body);
        Ok(object.map_err(|error| self.failed(error))?.data)
    }

    fn gate_of(&self, key: &str, text: &str) -> Result<Gate, GateError> {
        gate_of(text)
            .map_err(|error| self.failed(format!("key {key} has the value `{text}`: {error}")))
    }

    /// Changes a gate.
    ///
    /// # Errors
    /// The ConfigMap cannot be written. The gate is then unchanged, unless the connection to the API server broke after the
    /// request.
    pub(super) async fn set(&self, key: &str, gate: &Gate) -> Result<(), GateError> {
        let text = serde_json::to_string(gate).map_err(|error| self.failed(error))?;
        let patch = Object {
            data: BTreeMap::from([(key.to_owned(), text)]),
        };
        let patch = serde_json::to_vec(&patch).map_err(|error| self.failed(error))?;
        self.call(Method::PATCH, patch).await.map(drop)
    }

    async fn call(&self, method: Method, body: Vec<u8>) -> Result<Response, GateError> {
        let ConfigMapName { namespace, name } = &self.name;
        let namespace = namespace.as_deref().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        let response = self.api_server.call(method.clone(), &path, body).await;
        let response = response.map_err(|error| self.failed(format!("{error:#}")))?;
        match response.status {
            StatusCode::OK => Ok(response),
            _ => Err(self.failed(refusal(&self.name, &method, &response))),
        }
    }

    fn failed(&self, why: impl fmt::Display) -> GateError {
        GateError::ConfigMap(self.name.clone(), why.to_string())
    }
}

/// The message of the API server, and how to fix the reason.
fn refusal(name: &ConfigMapName, method: &Method, response: &Response) -> String {
    let said = response.message();
    let ConfigMapName { namespace, name } = name;
    let namespace = namespace.as_deref().unwrap_or_default();
    match response.status {
        StatusCode::NOT_FOUND if response.is_not_found() => {
            format!("{said}; create it with `kubectl -n {namespace} create configmap {name}`")
        }
        StatusCode::UNAUTHORIZED => format!(
            "{said}; the API server does not accept the token in --service-account-dir: check that it belongs to this \
             pod's ServiceAccount and that the ServiceAccount still exists"
        ),
        // An admission webhook refuses with this code too.
        StatusCode::FORBIDDEN if said.contains("\" cannot ") => {
            format!(
                "{said}; the load tester's ServiceAccount needs a Role with get and patch on this ConfigMap"
            )
        }
        status => format!("{method} failed with {status}: {said}"),
    }
}

/// Parses a gate: JSON as the load tester writes it, or one word as a person does.
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
    fn a_gate_is_one_word_from_a_person_or_json_from_the_load_tester() {
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
    fn an_error_of_the_api_server_names_the_fix() {
        let name = "shop/gates".parse().unwrap();
        let forbidden =
            "configmaps \"gates\" is forbidden: User \"x\" cannot get resource \"configmaps\"";
        let denied = "admission webhook \"x\" denied the request: No.";
        for (status, reason, message, part) in [
            (401, "Unauthorized", "No.", "does not accept the token"),
            (403, "Forbidden", forbidden, "needs a Role"),
            (403, "Forbidden", denied, "GET failed with 403"),
            (
                404,
                "NotFound",
                "No.",
                "kubectl -n shop create configmap gates",
            ),
            (500, "InternalError", "No.", "GET failed with 500"),
        ] {
            let body = serde_json::json!({ "reason": reason, "message": message });
            let response = Response {
                status: StatusCode::from_u16(status).unwrap(),
                body: body.to_string().into(),
            };
            let refusal = refusal(&name, &Method::GET, &response);
            assert!(refusal.contains(message), "{refusal}");
            assert!(refusal.contains(part), "{status}: {refusal}");
        }
    }

    #[test]
    fn a_server_in_its_first_moments_does_not_say_that_the_config_map_is_missing() {
        let response = Response {
            status: StatusCode::NOT_FOUND,
            body: "404 page not found\n".into(),
        };
        assert_eq!(
            refusal(&"shop/gates".parse().unwrap(), &Method::GET, &response),
            "GET failed with 404 Not Found: 404 page not found"
        );
    }
}
