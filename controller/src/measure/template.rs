//! Rendering of queries: `{{ namespace }}`, `{{ variables.KEY }}` and the like.

use std::{collections::BTreeMap, error::Error};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use crate::release::QueryNames;

/// Renders a query.
///
/// # Errors
/// When the text is no template or names something that is not given, in words.
pub fn render(
    text: &str,
    names: &QueryNames,
    interval: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, String> {
    let mut environment = Environment::new();
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
    environment
        .render_named_str("query", text, values)
        .map_err(|error| {
            let mut words = error.to_string();
            let mut cause = error.source();
            while let Some(deeper) = cause {
                words.push_str(": ");
                words.push_str(&deeper.to_string());
                cause = deeper.source();
            }
            words
        })
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
    fn what_is_not_given_is_an_error_that_names_it() {
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
    fn a_query_without_templates_is_left_alone() {
        let query = "request_processing_seconds_sum / request_processing_seconds_count";
        assert_eq!(
            render(query, &names(), "5s", &BTreeMap::new()).unwrap(),
            query
        );
    }
}
