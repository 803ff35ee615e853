//! `additionalPrinterColumns`.

use serde_json::Value;

use super::super::{Causes, items};
use super::subresources::json_path;

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];

pub(super) fn check(columns: &Value, path: &str, causes: &mut Causes) {
    for (index, column) in items(columns) {
        let field = |name: &str| format!("{path}[{index}].{name}");
        let text = |name: &str| column[name].as_str().unwrap_or_default();
        if text("name").is_empty() {
            causes.required(field("name"), "");
        }
        let detail = format!("must be one of {}", TYPES.join(","));
        if text("type").is_empty() {
            causes.required(field("type"), &detail);
        } else if !TYPES.contains(&text("type")) {
            causes.invalid(field("type"), &column["type"], &detail);
        }
        if !text("format").is_empty() && !FORMATS.contains(&text("format")) {
            causes.invalid(
                field("format"),
                &column["format"],
                &format!("must be one of {}", FORMATS.join(",")),
            );
        }
        // Upstream's name of the field inside the server.
        if text("jsonPath").is_empty() {
            causes.required(field("JSONPath"), "");
        } else {
            json_path(field("JSONPath"), &column["jsonPath"], causes);
        }
    }
}
