//! Renders query templates: `{{ namespace }}`, `{{ variables.KEY }}` and so on.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Write},
};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use crate::release::QueryNames;

/// Limits on the steps of a template and on the bytes of its output. A template only fills in some names; an endless one
/// would block the controller for every canary.
const MOST_STEPS: u64 = 10_000;
const LONGEST_QUERY: usize = 64 * 1024;

/// Renders a query.
///
/// # Errors
/// A message if the template is invalid, uses an undefined name, or exceeds a limit.
pub fn render(
    text: &str,
    names: &QueryNames,
    interval: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let values = context! {
        name => &names.name,
        namespace => &names.namespace,
        target => &names.target,
        service => &names.service,
        ingress => &names.ingress,
        route => &names.route,
        interval => interval,
        variables => variables,
    };
    let mut query = Query(Vec::new());
    environment
        .template_from_named_str("query", text)
        .and_then(|template| template.render_captured_to(values, &mut query).map(drop))
        .map_err(|error| {
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(deeper) = cause {
                message.push_str(": ");
                message.push_str(&deeper.to_string());
                cause = deeper.source();
            }
            message
        })?;
    String::from_utf8(query.0).map_err(|error| error.to_string())
}

/// The output of a template, limited to [`LONGEST_QUERY`].
struct Query(Vec<u8>);

impl Write for Query {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_QUERY {
            let why = format!("the query is longer than {LONGEST_QUERY} bytes");
            return Err(io::Error::other(why));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> QueryNames {
        let text = |text: &str| text.to_owned();
        QueryNames {
            name: text("canary"),
            namespace: text("ns"),
            target: text("target"),
            service: text("service"),
            ingress: text("ingress"),
            route: text("route"),
        }
    }

    #[test]
    fn every_name_is_filled_in() {
        let text = r#"{{ name }} {{namespace}} {{ target }} {{ service }} {{ ingress }} {{ route }}
            rate(x{a="{{ variables.a }}<&>"}[{{ interval }}])"#;
        let variables = BTreeMap::from([("a".to_owned(), "\"<b>\"".to_owned())]);
        let rendered = render(text, &names(), "5s", &variables).unwrap();
        insta::assert_snapshot!(rendered);
    }

    #[test]
    fn undefined_names_and_invalid_syntax_are_errors() {
        for text in [
            "{{ variables.missing }}",
            "{{ nonsense }}",
            "{{ index variables \"a\" }}",
            "{{ name ",
        ] {
            let error = render(text, &names(), "5s", &BTreeMap::new()).unwrap_err();
            assert!(error.contains("query"), "{text}: {error}");
        }
    }

    #[test]
    fn a_template_that_exceeds_a_limit_is_an_error() {
        for text in [
            "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
            &format!(
                "{{% for a in range(999) %}}{}{{% endfor %}}",
                "x".repeat(1000)
            ),
        ] {
            let error = render(text, &names(), "5s", &BTreeMap::new()).unwrap_err();
            assert!(
                error.contains("fuel") || error.contains("longer than"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_query_without_placeholders_is_unchanged() {
        let query = "request_processing_seconds_sum / request_processing_seconds_count";
        assert_eq!(
            render(query, &names(), "5s", &BTreeMap::new()).unwrap(),
            query
        );
    }
}
