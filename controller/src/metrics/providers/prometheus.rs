//! Prometheus: instant queries over its HTTP API.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use canary_engine::question::Sample;
use futures::future::BoxFuture;
use serde_json::Value;

use super::{Access, Provider, QueryError, Unusable};
use crate::{
    api::MetricProviderSpec,
    process::http::{Connection, Method, Request, Response},
};

/// The same timeout as Flagger's.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Prometheus, and other servers that implement its HTTP API.
pub(super) struct Prometheus;

impl Provider for Prometheus {
    fn problem(&self, settings: &MetricProviderSpec) -> Option<Unusable> {
        let address = settings.address.as_deref().unwrap_or_default();
        reqwest::Url::parse(address).is_err().then(|| Unusable {
            why: format!("has the address \"{address}\", which is not a URL"),
            fix: "set spec.provider.address of the template to http://HOST:PORT",
        })
    }

    fn query<'a>(
        &'a self,
        access: &'a Access,
        query: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Sample>, QueryError>> {
        Box::pin(async move {
            let answer = access.transport.send(request(access, query)?).await;
            let response = answer.map_err(|error| QueryError::Failed(error.to_string()))?;
            samples(&response)
        })
    }
}

fn request(access: &Access, query: &str) -> Result<Request, QueryError> {
    let base = access.address.trim_end_matches('/');
    let mut url = reqwest::Url::parse(&format!("{base}/api/v1/query"))
        .map_err(|error| QueryError::Failed(format!("{base}: {error}")))?;
    let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
    url.query_pairs_mut().append_pair("query", &query);
    Ok(Request {
        method: Method::Get,
        url: url.into(),
        headers: headers(access),
        body: None,
        timeout: TIMEOUT,
        connection: Connection {
            insecure: access.settings.insecure_skip_verify == Some(true),
            proxy: None,
        },
    })
}

fn headers(access: &Access) -> Vec<(String, String)> {
    let given = access.settings.headers.iter().flatten();
    let mut headers: Vec<_> = given
        .flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone())))
        .collect();
    let secret = &access.secret;
    if let Some(token) = secret.get("token") {
        headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
    } else if let (Some(user), Some(password)) = (secret.get("username"), secret.get("password")) {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        headers.push(("Authorization".to_owned(), format!("Basic {credentials}")));
    }
    headers
}

/// Reads the samples of a response. NaN is not a value.
fn samples(response: &Response) -> Result<Vec<Sample>, QueryError> {
    let body: Option<Value> = serde_json::from_str(&response.body).ok();
    if response.status >= 400 {
        let words = body
            .as_ref()
            .and_then(error_words)
            .unwrap_or_else(|| short(&response.body));
        return Err(failed(format!(
            "error response: Status {}: {words}",
            response.status_text()
        )));
    }
    let Some(body) = body else {
        return Err(failed(format!(
            "response is not JSON: {}",
            short(&response.body)
        )));
    };
    if body["status"] != "success" {
        let words = error_words(&body).unwrap_or_else(|| short(&response.body));
        return Err(failed(format!("error response: {words}")));
    }
    let data = &body["data"];
    let found = match data["resultType"].as_str().unwrap_or_default() {
        "vector" => {
            let series = data["result"].as_array().into_iter().flatten();
            series
                .map(|one| sample(&one["metric"], &one["value"]))
                .collect::<Result<Vec<_>, _>>()?
        }
        "scalar" => vec![sample(&Value::Null, &data["result"])?],
        "matrix" => {
            return Err(failed(
                "query returned multiple values: a range, not an instant vector".to_owned(),
            ));
        }
        other => {
            return Err(failed(format!(
                "query returned a {other}, not an instant vector"
            )));
        }
    };
    let found: Vec<_> = found
        .into_iter()
        .filter(|sample| !sample.value.is_nan())
        .collect();
    if found.is_empty() {
        Err(QueryError::NoValues)
    } else {
        Ok(found)
    }
}

fn sample(metric: &Value, value: &Value) -> Result<Sample, QueryError> {
    let labels = labels(metric);
    let number = value[1].as_str().and_then(number);
    let value = number.ok_or_else(|| {
        failed(format!(
            "series {labels} has no number (a native histogram?)"
        ))
    })?;
    Ok(Sample { labels, value })
}

/// Parses a sample value. Rust accepts Prometheus's `+Inf` and `NaN`.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Formats labels as PromQL does: `name{a="b"}`; empty if there are none.
fn labels(metric: &Value) -> String {
    let all = metric.as_object().into_iter().flatten();
    let pairs: Vec<_> = all
        .filter(|(name, _)| *name != "__name__")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let name = metric["__name__"].as_str().unwrap_or_default();
    if pairs.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", pairs.join(","))
    }
}

/// Returns the error of a response: `bad_data: invalid parameter "query": …`.
fn error_words(body: &Value) -> Option<String> {
    let error = body["error"].as_str()?;
    Some(match body["errorType"].as_str() {
        Some(kind) => format!("{kind}: {error}"),
        None => error.to_owned(),
    })
}

fn failed(words: String) -> QueryError {
    QueryError::Failed(words)
}

/// The beginning of a body, for error messages.
fn short(body: &str) -> String {
    body.trim().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Vec<Sample>, QueryError> {
        samples(&Response {
            status,
            retry_after: None,
            body: body.to_owned(),
        })
    }

    #[test]
    fn every_series_of_a_vector_is_returned_with_its_labels() {
        let found = read(
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{"__name__":"up","pod":"a"},"value":[1,"99.5"]},
                {"metric":{},"value":[1,"+Inf"]},
                {"metric":{"pod":"c"},"value":[1,"NaN"]}]}}"#,
        );
        let sample = |labels: &str, value| Sample {
            labels: labels.to_owned(),
            value,
        };
        assert_eq!(
            found,
            Ok(vec![
                sample("up{pod=\"a\"}", 99.5),
                sample("", f64::INFINITY)
            ])
        );
    }

    #[test]
    fn an_empty_result_and_nan_are_no_values() {
        let empty = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let nan = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}"#;
        assert_eq!(read(200, empty), Err(QueryError::NoValues));
        assert_eq!(read(200, nan), Err(QueryError::NoValues));
    }

    #[test]
    fn errors_quote_the_server() {
        let cases = [
            (
                400,
                r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected identifier"}"#,
            ),
            (503, "<html>away</html>"),
            (200, "no json"),
            (
                200,
                r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
            ),
            (
                200,
                r#"{"status":"success","data":{"resultType":"string","result":[1,"x"]}}"#,
            ),
            (
                200,
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"histogram":[1,{}]}]}}"#,
            ),
        ];
        let errors: Vec<_> = cases
            .iter()
            .map(|(status, body)| read(*status, body).unwrap_err().to_string())
            .collect();
        insta::assert_yaml_snapshot!(errors);
    }
}
