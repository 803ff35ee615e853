//! Bad requests get a `Status` that says what is wrong.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

use http::{Method, Request, StatusCode};
use kube::Client;
use localcluster_apiserver::{ApiServer, Config};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";

/// Method, path, media type and body of a request; code and reason of the answer.
type Case<'a> = (Method, &'a str, &'a str, &'a [u8], u16, &'a str);

struct World {
    client: Client,
}

impl World {
    async fn new() -> Self {
        Self {
            client: ApiServer::open(Config::default()).await.unwrap().client(),
        }
    }

    /// Sends a request; returns the answer's code and body.
    async fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: &[u8],
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media_type)
            .body(kube::client::Body::from(body.to_vec()))
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let code = response.status();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        (
            code.as_u16(),
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    async fn post(&self, path: &str, object: &Value) -> (u16, Value) {
        self.send(Method::POST, path, JSON, object.to_string().as_bytes())
            .await
    }
}

#[tokio::test]
async fn every_kind_of_bad_request_has_its_code_and_reason() {
    let world = World::new().await;
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
    assert_eq!(world.post(MAPS, &object).await.0, 201);
    let huge = vec![b' '; 4 * 1024 * 1024];
    let map = object.to_string();
    let secret = map.replace("ConfigMap", "Secret");
    let elsewhere = map.replace(
        "\"name\":\"a\"",
        "\"name\":\"b\",\"namespace\":\"kube-system\"",
    );
    let versioned = map.replace("\"name\":\"a\"", "\"name\":\"b\",\"resourceVersion\":\"1\"");
    let pod = "/api/v1/namespaces/default/pods/p";
    let cases: [Case<'_>; 18] = [
        (Method::POST, MAPS, JSON, b"{", 400, "BadRequest"),
        (Method::POST, MAPS, JSON, b"[]", 400, "BadRequest"),
        (
            Method::POST,
            MAPS,
            "application/yaml",
            b"a: [",
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            JSON,
            secret.as_bytes(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            JSON,
            elsewhere.as_bytes(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            JSON,
            versioned.as_bytes(),
            400,
            "BadRequest",
        ),
        (
            Method::POST,
            MAPS,
            "text/html",
            map.as_bytes(),
            415,
            "UnsupportedMediaType",
        ),
        (
            Method::POST,
            MAPS,
            JSON,
            &huge,
            413,
            "RequestEntityTooLarge",
        ),
        (
            Method::POST,
            MAPS,
            JSON,
            map.as_bytes(),
            409,
            "AlreadyExists",
        ),
        (
            Method::PUT,
            MAPS,
            JSON,
            map.as_bytes(),
            405,
            "MethodNotAllowed",
        ),
        (Method::GET, "/api/v1/things", JSON, b"", 404, "NotFound"),
        (Method::GET, "/nothing", JSON, b"", 404, "NotFound"),
        (Method::GET, pod, JSON, b"", 404, "NotFound"),
        (
            Method::GET,
            "/api/v1/pods?fieldSelector=spec.x=1",
            JSON,
            b"",
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?labelSelector=a%20b",
            JSON,
            b"",
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?limit=x",
            JSON,
            b"",
            400,
            "BadRequest",
        ),
        (
            Method::GET,
            "/api/v1/pods?resourceVersion=999999",
            JSON,
            b"",
            504,
            "Timeout",
        ),
        (
            Method::GET,
            "/api/v1/pods?continue=x",
            JSON,
            b"",
            400,
            "BadRequest",
        ),
    ];
    for (method, path, media_type, body, code, reason) in cases {
        let (found, status) = world.send(method.clone(), path, media_type, body).await;
        assert_eq!(
            (found, status["reason"].as_str()),
            (code, Some(reason)),
            "{method} {path} {status}"
        );
        assert_eq!(status["kind"], "Status");
        assert_eq!(status["code"], code);
    }
}

#[tokio::test]
async fn yaml_is_as_good_as_json() {
    let world = World::new().await;
    let body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n";
    let (code, object) = world
        .send(Method::POST, MAPS, "application/yaml", body)
        .await;
    assert_eq!((code, &object["data"]), (201, &json!({ "k": "v" })));
}

#[tokio::test]
async fn invalid_objects_name_all_their_fields() {
    let world = World::new().await;
    let container = json!({ "name": "A", "ports": [{ "containerPort": 0 }], "resources": {
        "requests": { "cpu": "2" }, "limits": { "cpu": "1" },
    } });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "p", "labels": { "a": "b c" } },
        "spec": { "containers": [container], "restartPolicy": "Sometimes" },
    });
    let (code, status) = world.post("/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(code, 422);
    let causes: Vec<(&str, &str)> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| {
            (
                cause["field"].as_str().unwrap(),
                cause["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        causes,
        [
            ("metadata.labels", "FieldValueInvalid"),
            ("spec.restartPolicy", "FieldValueNotSupported"),
            ("spec.containers[0].name", "FieldValueInvalid"),
            ("spec.containers[0].image", "FieldValueRequired"),
            (
                "spec.containers[0].ports[0].containerPort",
                "FieldValueRequired"
            ),
            ("spec.containers[0].resources.requests", "FieldValueInvalid"),
        ]
    );
    let (code, status) = world
        .post(
            "/api/v1/namespaces/default/services",
            &json!({ "metadata": { "name": "1" }, "spec": {} }),
        )
        .await;
    assert_eq!(code, 422, "{status}");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_a_bad_request() {
    let world = World::new().await;
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [{
        "name": "c", "image": "i", "resources": { "requests": { "cpu": "much" } },
    }] } });
    let (code, status) = world.post("/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(code, 400);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("quantities must match"),
        "{status}"
    );
}

#[tokio::test]
async fn unknown_fields_are_warned_about_unless_the_request_says_otherwise() {
    let world = World::new().await;
    let object = json!({ "metadata": { "name": "a" }, "datum": {} }).to_string();
    let send = |validation: &str| {
        let request = Request::post(format!("{MAPS}?dryRun=All&fieldValidation={validation}"))
            .body(kube::client::Body::from(object.clone().into_bytes()))
            .unwrap();
        let client = world.client.clone();
        async move {
            let response = client.send(request).await.unwrap();
            let warning = response
                .headers()
                .get("warning")
                .map(|value| value.to_str().unwrap().to_owned());
            (response.status(), warning)
        }
    };
    let warning = r#"299 - "unknown field \"datum\"""#.to_owned();
    assert_eq!(send("").await, (StatusCode::CREATED, Some(warning.clone())));
    assert_eq!(send("Warn").await, (StatusCode::CREATED, Some(warning)));
    assert_eq!(send("Ignore").await, (StatusCode::CREATED, None));
    assert_eq!(send("Strict").await, (StatusCode::BAD_REQUEST, None));
}
