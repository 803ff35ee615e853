//! One sentence for each failure.

use std::error::Error;

use kube::core::Status;

/// The longest sentence, in characters. The message of an event holds 1024, and also names the object and the next
/// step.
const LONGEST: usize = 500;

/// The reason that kube writes for an answer that is no `Status`.
const NO_STATUS: &str = "Failed to parse error data";

pub(crate) fn of(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => cut(&of_status(status)),
        kube::Error::SerdeError(why) => {
            cut(&format!("the API server's answer cannot be read: {why}"))
        }
        kube::Error::FromUtf8(_) => "the API server's answer is no text".to_owned(),
        kube::Error::Discovery(why) => cut(&format!("discovery: {why}")),
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
            cut(&format!("the request cannot be made: {}", root(error)))
        }
        kube::Error::InferConfig(why) => cut(&why.to_string()),
        kube::Error::InferKubeconfig(why) => cut(&why.to_string()),
        kube::Error::Auth(_) => cut(&format!("cannot log in to the API server: {}", root(error))),
        _ => cut(&format!("cannot reach the API server: {}", root(error))),
    }
}

fn of_status(status: &Status) -> String {
    let message = status.message.trim();
    if status.reason == NO_STATUS {
        return no_status(status.code, message);
    }
    if status.code == 0 && message.is_empty() {
        return "the API server, or a proxy before it, answered with an error that says nothing"
            .to_owned();
    }
    match (message, status.reason.as_str()) {
        ("", "") => format!("the API server answered with {}", status.code),
        ("", reason) => format!("the API server answered with {} {reason}", status.code),
        (message, _) => message.to_owned(),
    }
}

/// An answer that is no `Status`: from a proxy, or from a server in its first moments.
fn no_status(code: u16, text: &str) -> String {
    let first = text.lines().next().unwrap_or_default().trim();
    // "404 page not found" names the code itself.
    let text = first
        .strip_prefix(&code.to_string())
        .unwrap_or(first)
        .trim();
    if text.is_empty() || text.starts_with(['<', '{']) {
        return format!("the API server, or a proxy before it, answered with {code}");
    }
    format!("the API server, or a proxy before it, answered with {code}: {text}")
}

/// The innermost cause: the others only name layers of the client.
fn root(error: &kube::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    // Rust's standard library writes `Connection refused (os error 111)`.
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            let rest = letters.as_str();
            format!("{}{second}{rest}", first.to_lowercase())
        }
        _ => text.to_owned(),
    }
}

/// One line, cut at a word where it is too long.
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
    use super::*;

    fn status(code: u16, reason: &str, message: &str) -> kube::Error {
        let status = Status::failure(message, reason).with_code(code);
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn the_servers_message_is_quoted_once() {
        let message = "deployments.apps \"app\" is forbidden: exceeded quota: objects";
        assert_eq!(of(&status(403, "Forbidden", message)), message);
    }

    #[test]
    fn without_a_message_code_and_reason_stand_for_it() {
        assert_eq!(
            of(&status(503, "ServiceUnavailable", "")),
            "the API server answered with 503 ServiceUnavailable"
        );
        assert_eq!(of(&status(500, "", "")), "the API server answered with 500");
    }

    #[test]
    fn an_answer_that_is_no_status_is_named_so() {
        assert_eq!(
            of(&status(404, NO_STATUS, "404 page not found\n")),
            "the API server, or a proxy before it, answered with 404: page not found"
        );
        assert_eq!(
            of(&status(502, NO_STATUS, "<html>\n<h1>Bad Gateway</h1>")),
            "the API server, or a proxy before it, answered with 502"
        );
        let other = kube::Error::Api(Box::new(serde_json::from_str(r#"{"error":"x"}"#).unwrap()));
        assert_eq!(
            of(&other),
            "the API server, or a proxy before it, answered with an error that says nothing"
        );
    }

    #[test]
    fn a_long_message_is_cut_at_a_word() {
        let text = of(&status(
            422,
            "Invalid",
            &"spec.field is wrong, ".repeat(100),
        ));
        assert!(text.chars().count() <= LONGEST + 1, "{text}");
        assert!(
            text.ends_with("wrong,…") || text.ends_with("is…") || text.ends_with("spec.field…")
        );
        // Letters of more than one byte, and no word to cut at.
        let text = of(&status(422, "Invalid", &"ü".repeat(2000)));
        assert_eq!(text, format!("{}…", "ü".repeat(LONGEST)));
    }

    #[test]
    fn lines_are_joined() {
        assert_eq!(of(&status(400, "BadRequest", "a\n  b\tc")), "a b c");
    }

    #[test]
    fn a_connection_that_fails_is_named_by_its_root_cause() {
        let refused = std::io::Error::from_raw_os_error(111);
        let layers = Layer(Box::new(Layer(Box::new(refused))));
        assert_eq!(
            of(&kube::Error::Service(Box::new(layers))),
            "cannot reach the API server: connection refused"
        );
    }

    /// A layer of a client, as hyper has them.
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
