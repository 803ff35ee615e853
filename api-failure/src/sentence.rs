//! The message of a failure, in one sentence.

use kube::{config::KubeconfigError, core::Status};

use crate::cause::root_cause;

/// Maximum length of the sentence, in characters. An event message is limited to 1024 and also contains the object and
/// the next step.
const LONGEST: usize = 500;

/// The reason that kube sets for a response that is not a `Status`.
const NO_STATUS: &str = "Failed to parse error data";

pub(crate) fn of(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => cut(&of_status(status)),
        kube::Error::SerdeError(why) => cut(&format!(
            "cannot parse the response of the API server: {why}"
        )),
        kube::Error::FromUtf8(_) => "the response of the API server is not valid UTF-8".to_owned(),
        kube::Error::Discovery(why) => cut(&format!("discovery: {why}")),
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
            cut(&format!("cannot build the request: {}", root_cause(error)))
        }
        kube::Error::InferConfig(why) => cut(&why.to_string()),
        // kube prints the path with two pairs of quotes.
        kube::Error::InferKubeconfig(KubeconfigError::ReadConfig(why, path)) => cut(&format!(
            "cannot read kubeconfig {}: {}",
            path.display(),
            root_cause(why)
        )),
        kube::Error::InferKubeconfig(why) => cut(&why.to_string()),
        kube::Error::Auth(_) => cut(&format!(
            "cannot authenticate to the API server: {}",
            root_cause(error)
        )),
        _ => cut(&format!(
            "cannot reach the API server: {}",
            root_cause(error)
        )),
    }
}

fn of_status(status: &Status) -> String {
    let message = status.message.trim();
    if status.reason == NO_STATUS {
        return no_status(status.code, message);
    }
    if status.code == 0 && message.is_empty() {
        return "the API server or a proxy in front of it returned an error without a message"
            .to_owned();
    }
    match (message, status.reason.as_str()) {
        ("", "") => format!("the API server returned {}", status.code),
        ("", reason) => format!("the API server returned {} {reason}", status.code),
        (message, _) => message.to_owned(),
    }
}

/// The message for a response that is not a `Status`: from a proxy, or from a server that is starting.
fn no_status(code: u16, text: &str) -> String {
    let first = text.lines().next().unwrap_or_default().trim();
    // "404 page not found" already contains the code.
    let text = first
        .strip_prefix(&code.to_string())
        .unwrap_or(first)
        .trim();
    if text.is_empty() || text.starts_with(['<', '{']) {
        return format!("the API server or a proxy in front of it returned {code}");
    }
    format!("the API server or a proxy in front of it returned {code}: {text}")
}

/// Joins the lines of a text and truncates it at a word boundary.
fn cut(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((end, _)) = text.char_indices().nth(LONGEST) else {
        return text;
    };
    let head = &text[..end];
    let end = head.rfind(' ').filter(|at| *at > end / 2).unwrap_or(end);
    format!("{}…", &head[..end])
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn status(code: u16, reason: &str, message: &str) -> kube::Error {
        let status = Status::failure(message, reason).with_code(code);
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn the_message_of_the_server_is_printed_once() {
        let message = "deployments.apps \"app\" is forbidden: exceeded quota: objects";
        assert_eq!(of(&status(403, "Forbidden", message)), message);
    }

    #[test]
    fn without_a_message_code_and_reason_are_printed() {
        assert_eq!(
            of(&status(503, "ServiceUnavailable", "")),
            "the API server returned 503 ServiceUnavailable"
        );
        assert_eq!(of(&status(500, "", "")), "the API server returned 500");
    }

    #[test]
    fn a_response_that_is_not_a_status_is_printed_with_its_code() {
        assert_eq!(
            of(&status(404, NO_STATUS, "404 page not found\n")),
            "the API server or a proxy in front of it returned 404: page not found"
        );
        assert_eq!(
            of(&status(502, NO_STATUS, "<html>\n<h1>Bad Gateway</h1>")),
            "the API server or a proxy in front of it returned 502"
        );
        let other = kube::Error::Api(Box::new(serde_json::from_str(r#"{"error":"x"}"#).unwrap()));
        assert_eq!(
            of(&other),
            "the API server or a proxy in front of it returned an error without a message"
        );
    }

    #[test]
    fn a_long_message_is_truncated_at_a_word_boundary() {
        let text = of(&status(
            422,
            "Invalid",
            &"spec.field is wrong, ".repeat(100),
        ));
        assert!(text.chars().count() <= LONGEST + 1, "{text}");
        assert!(
            text.ends_with("wrong,…") || text.ends_with("is…") || text.ends_with("spec.field…")
        );
        // Multi-byte characters without a word boundary.
        let text = of(&status(422, "Invalid", &"ü".repeat(2000)));
        assert_eq!(text, format!("{}…", "ü".repeat(LONGEST)));
    }

    #[test]
    fn lines_are_joined() {
        assert_eq!(of(&status(400, "BadRequest", "a\n  b\tc")), "a b c");
    }

    #[test]
    fn a_failed_connection_is_described_by_its_root_cause() {
        let refused = std::io::Error::from_raw_os_error(111);
        let layers = Layer(Box::new(Layer(Box::new(refused))));
        assert_eq!(
            of(&kube::Error::Service(Box::new(layers))),
            "cannot reach the API server: connection refused"
        );
    }

    /// A layer of a client, such as hyper's errors.
    #[derive(Debug)]
    struct Layer(Box<dyn Error + Send + Sync>);

    impl std::fmt::Display for Layer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "client error (Connect): {}", self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self.0.as_ref())
        }
    }
}
