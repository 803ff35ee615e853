//! The versions of a definition.

use serde_json::{Value, json};

use super::super::{Causes, items};
use super::common::Common;
use super::{columns, names, schema, subresources};
use crate::object;
use crate::schema::structural;

/// Longest `deprecationWarning`, in bytes.
const MAX_WARNING: usize = 256;

pub(super) fn check(spec: &Value, common: &Common<'_>, causes: &mut Causes) {
    let has_schema = |version: &Value| !version["schema"]["openAPIV3Schema"].is_null();
    for (index, version) in items(&spec["versions"]) {
        if !has_schema(version) {
            causes.required(format!("spec.versions[{index}].schema.openAPIV3Schema"), "");
        }
    }
    let with_defaults = items(&spec["versions"])
        .any(|(_, version)| structural::has_defaults(&version["schema"]["openAPIV3Schema"]));
    if spec["preserveUnknownFields"] == true && with_defaults {
        causes.invalid(
            "spec.preserveUnknownFields",
            &json!(true),
            "must be false in order to use defaults in the schema",
        );
    }
    for (index, version) in items(&spec["versions"]) {
        let path = format!("spec.versions[{index}]");
        names::label(format!("{path}.name"), &version["name"], causes);
        if index == 0 {
            // Upstream keeps it there too.
            names::label("spec.version".to_owned(), &version["name"], causes);
        }
        own(spec, version, common, &path, causes);
    }
    let names: Vec<&Value> = items(&spec["versions"])
        .map(|(_, version)| &version["name"])
        .collect();
    // Upstream prints the versions whole.
    let mut wrong = |detail: &str| causes.invalid("spec.versions", &json!(names), detail);
    if (1..names.len()).any(|index| names[..index].contains(&names[index])) {
        wrong("must contain unique version names");
    }
    let stored = items(&spec["versions"]).filter(|(_, version)| version["storage"] == true);
    if stored.count() != 1 {
        wrong("must have exactly one version marked as storage version");
    }
}

/// Checks what a version does not share with all others.
fn own(spec: &Value, version: &Value, common: &Common<'_>, path: &str, causes: &mut Causes) {
    deprecation(version, path, causes);
    if common.schema.is_none() {
        // Upstream takes the first version of that name.
        let named = items(&spec["versions"])
            .map(|(_, other)| other)
            .find(|other| other["name"] == version["name"]);
        let status = named.is_some_and(schema::has_status);
        schema::check(
            &version["schema"],
            &format!("{path}.schema"),
            status,
            causes,
        );
    }
    if common.subresources.is_none() {
        let path = format!("{path}.subresources");
        subresources::check(&version["subresources"], &path, causes);
    }
    if common.columns.is_none() {
        let path = format!("{path}.additionalPrinterColumns");
        columns::check(&version["additionalPrinterColumns"], &path, causes);
    }
}

fn deprecation(version: &Value, path: &str, causes: &mut Causes) {
    let field = format!("{path}.deprecationWarning");
    let warning = &version["deprecationWarning"];
    let Some(text) = warning.as_str() else {
        return;
    };
    let mut wrong = |detail: &str| causes.invalid(&field, warning, detail);
    if version["deprecated"] != true {
        wrong("can only be set for deprecated versions");
        return;
    }
    if text.len() > MAX_WARNING {
        wrong("must be <= 256 characters long");
    }
    if text.is_empty() {
        wrong("must not be an empty string");
    }
    let printable = |c: char| !c.is_control() && (c == ' ' || !c.is_whitespace());
    if let Some((index, _)) = text.char_indices().find(|&(_, c)| !printable(c)) {
        wrong(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        ));
    }
}

/// Checks that no version is gone of which objects may be stored.
pub(super) fn stored(definition: &Value, causes: &mut Causes) {
    let stored = &definition["status"]["storedVersions"];
    let field = "status.storedVersions";
    if items(stored).next().is_none() {
        causes.invalid(field, &Value::Null, "must have at least one stored version");
        return;
    }
    let versions = || items(&definition["spec"]["versions"]).map(|(_, version)| version);
    for version in versions() {
        let name = &version["name"];
        if version["storage"] == true && !items(stored).any(|(_, stored)| stored == name) {
            let name = object::text(version, "/name");
            causes.invalid(
                field,
                stored,
                &format!("must have the storage version {name}"),
            );
        }
    }
    for (index, name) in items(stored) {
        if !versions().any(|version| version["name"] == *name) {
            let text = name.as_str().unwrap_or_default();
            causes.invalid(
                format!("{field}[{index}]"),
                name,
                &format!(
                    "missing from spec.versions; {text} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {text} and removes {text} from status.storedVersions"
                ),
            );
        }
    }
}
