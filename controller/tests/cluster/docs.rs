//! `docs/troubleshooting.md` explains every warning of the engine's scenarios.

use std::{fs, path::Path};

use crate::wrong::cases;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first column of the tables: patterns in which `…` matches any text.
fn rows() -> Vec<String> {
    let page = read("../docs/troubleshooting.md");
    let cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        open = part.is_empty();
    }
    open || rest.is_empty()
}

/// Reports whether the page has a row for a message.
pub fn is_explained(message: &str) -> bool {
    rows().iter().any(|row| matches(row, message))
}

#[test]
fn every_warning_of_the_scenarios_is_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/tests/engine/scenarios");
    let mut warnings = Vec::new();
    for file in fs::read_dir(folder).unwrap().flatten() {
        let text = fs::read_to_string(file.path()).unwrap();
        let events = text
            .lines()
            .filter_map(|line| line.split_once("Warning event "));
        warnings.extend(events.filter_map(|(_, event)| Some(event.split_once(": ")?.1.to_owned())));
    }
    warnings.sort();
    warnings.dedup();
    assert!(warnings.len() > 20, "{warnings:#?}");
    warnings.retain(|warning| !is_explained(warning));
    assert_eq!(warnings, [""; 0], "not in docs/troubleshooting.md");
}

#[test]
fn every_field_of_a_refused_canary_is_explained() {
    for (_, _, field, _) in cases() {
        assert!(
            is_explained(field),
            "{field} is not in docs/troubleshooting.md"
        );
    }
}
