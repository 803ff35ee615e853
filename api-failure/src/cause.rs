//! The cause of a failed request.

use std::error::Error;

/// The innermost cause of an error, for people: `connection refused`. The errors around it only name layers of the HTTP
/// client.
#[must_use]
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    // The standard library formats it as `Connection refused (os error 111)`.
    let text = text.split(" (os error ").next().unwrap_or_default();
    // rustls adds the address of a page of its manual.
    let text = text.split(": https://docs.rs/").next().unwrap_or_default();
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            let rest = letters.as_str();
            format!("{}{second}{rest}", first.to_lowercase())
        }
        _ => text.to_owned(),
    }
}
