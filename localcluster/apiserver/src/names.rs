//! The forms of names that Kubernetes takes from DNS.

use std::sync::LazyLock;

use regex::Regex;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

static SUBDOMAIN_PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").ok()
});
static LABEL_PATTERN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").ok());

type Pattern = LazyLock<Option<Regex>>;

fn fits(pattern: &Pattern, text: &str) -> bool {
    pattern
        .as_ref()
        .is_some_and(|pattern| pattern.is_match(text))
}

/// Everything wrong with a text of at most `longest` bytes that must fit a form.
fn problems(
    text: &str,
    longest: (usize, &'static str),
    form: (bool, &'static str),
) -> Result<(), Vec<&'static str>> {
    let mut problems = Vec::new();
    if text.len() > longest.0 {
        problems.push(longest.1);
    }
    if !form.0 {
        problems.push(form.1);
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

const LONG: (usize, &str) = (253, "must be no more than 253 characters");
const SHORT: (usize, &str) = (63, "must be no more than 63 characters");

/// `example.com`
pub(crate) fn subdomain(text: &str) -> Result<(), Vec<&'static str>> {
    problems(text, LONG, (fits(&SUBDOMAIN_PATTERN, text), SUBDOMAIN))
}

/// `my-name`, `1-name`
pub(crate) fn label(text: &str) -> Result<(), Vec<&'static str>> {
    problems(text, SHORT, (fits(&LABEL_PATTERN, text), LABEL))
}

/// `my-name`, but not `1-name`
pub(crate) fn label_1035(text: &str) -> Result<(), Vec<&'static str>> {
    let alphabetic = text.starts_with(|first: char| first.is_ascii_lowercase());
    let form = alphabetic && fits(&LABEL_PATTERN, text);
    problems(text, SHORT, (form, LABEL_1035))
}

/// Everything wrong with the name of a kind, `MyKind`.
pub(crate) fn kind(text: &str) -> Result<(), String> {
    label_1035(&text.to_lowercase()).map_err(|problems| {
        format!(
            "may have mixed case, but should otherwise match: {}",
            problems.join(",")
        )
    })
}
