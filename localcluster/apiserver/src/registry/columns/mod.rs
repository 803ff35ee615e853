//! What `kubectl get` shows of an object: columns and their cells, for built-in kinds as upstream prints
//! them and for custom kinds as their definition says.

mod age;
mod other;
mod path;
mod pod;
mod service;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Behaviour, Kind};
use crate::object;

pub(crate) use path::JsonPath;

/// A column. Those of priority above 0 are shown by `-o wide` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
}

impl Column {
    fn new(name: &str, kind: &str, priority: i64) -> Self {
        let format = if name == "Name" { "name" } else { "" };
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: format.to_owned(),
            description: String::new(),
            priority,
        }
    }

    /// As it stands in a `Table`.
    pub(crate) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

/// A built-in kind's columns, written `Name`, or `Name:1` for a wide one, with the cells' function.
struct Printer {
    columns: &'static [&'static str],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

/// The columns of a kind.
pub(crate) fn columns(kind: &Kind) -> Vec<Column> {
    match &kind.behaviour {
        Behaviour::Builtin(_) => printer(kind)
            .columns
            .iter()
            .map(|column| builtin(column))
            .collect(),
        Behaviour::Custom(custom) => {
            let mut columns = vec![Column::new("Name", "string", 0)];
            columns.extend(custom.columns.iter().map(|column| column.shown.clone()));
            columns
        }
    }
}

fn builtin(column: &str) -> Column {
    let (name, priority) = column
        .split_once(':')
        .map_or((column, 0), |(name, _)| (name, 1));
    let kind = match name {
        "Up-to-date" | "Available" | "Desired" | "Current" | "Data" | "Secrets" | "Count" => {
            "integer"
        }
        _ => "string",
    };
    Column::new(name, kind, priority)
}

/// The cells of an object, one for each column.
pub(crate) fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    match &kind.behaviour {
        Behaviour::Builtin(_) => (printer(kind).cells)(object, now),
        Behaviour::Custom(custom) => {
            let mut cells = vec![object::name(object).into()];
            cells.extend(custom.columns.iter().map(|column| column.cell(object, now)));
            cells
        }
    }
}

/// A column that a CustomResourceDefinition declares.
#[derive(Debug, Clone)]
pub(crate) struct CustomColumn {
    shown: Column,
    path: JsonPath,
}

impl CustomColumn {
    /// The columns of a version; its age when it declares none.
    pub(crate) fn of_version(version: &Value) -> Vec<Self> {
        let declared: Vec<Self> = version["additionalPrinterColumns"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|column| {
                let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
                Self {
                    shown: Column {
                        name: text("name"),
                        kind: text("type"),
                        format: text("format"),
                        description: text("description"),
                        priority: column["priority"].as_i64().unwrap_or(0),
                    },
                    path: JsonPath::parse(&text("jsonPath")),
                }
            })
            .collect();
        if !declared.is_empty() {
            return declared;
        }
        vec![Self {
            shown: Column::new("Age", "date", 0),
            path: JsonPath::parse(".metadata.creationTimestamp"),
        }]
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let Some(value) = self.path.first(object) else {
            return Value::Null;
        };
        match (self.shown.kind.as_str(), value) {
            ("date", Value::String(text)) => text.parse().map_or_else(
                |_| "<invalid>".into(),
                |then| age::between(then, now).into(),
            ),
            ("integer", Value::Number(number)) => number
                .as_i64()
                .map_or_else(|| json!(number.as_f64()), Into::into),
            ("number", Value::Number(_))
            | ("boolean", Value::Bool(_))
            | ("string", Value::String(_)) => value.clone(),
            ("string", other) => other.to_string().into(),
            _ => Value::Null,
        }
    }
}

fn printer(kind: &Kind) -> Printer {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => pod::PRINTER,
        ("", "services") => service::SERVICE,
        ("", "endpoints") => service::ENDPOINTS,
        ("discovery.k8s.io", "endpointslices") => service::SLICE,
        ("networking.k8s.io", "ingresses") => service::INGRESS,
        ("apps", "deployments") => workload::DEPLOYMENT,
        ("apps", "replicasets") => workload::REPLICA_SET,
        ("apps", "statefulsets") => workload::STATEFUL_SET,
        ("apps", "daemonsets") => workload::DAEMON_SET,
        ("batch", "jobs") => workload::JOB,
        ("autoscaling", "horizontalpodautoscalers") => workload::AUTOSCALER,
        ("policy", "poddisruptionbudgets") => workload::DISRUPTION_BUDGET,
        ("", "configmaps") => other::CONFIG_MAP,
        ("", "secrets") => other::SECRET,
        ("", "serviceaccounts") => other::SERVICE_ACCOUNT,
        ("", "namespaces") => other::NAMESPACE,
        ("", "nodes") => other::NODE,
        (_, "events") => other::EVENT,
        ("coordination.k8s.io", "leases") => other::LEASE,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => other::BINDING,
        ("rbac.authorization.k8s.io" | "apiextensions.k8s.io", _) => other::CREATED_AT,
        ("networking.k8s.io", "networkpolicies") => other::NETWORK_POLICY,
        _ => other::PLAIN,
    }
}

/// The object's name, the first cell of most kinds.
fn name(object: &Value) -> Value {
    object::name(object).into()
}

/// Time since the object was created.
fn created(object: &Value, now: Timestamp) -> Value {
    since(object::text(object, "/metadata/creationTimestamp"), now)
}

/// Time since a timestamp; `<unknown>` when there is none.
fn since(timestamp: &str, now: Timestamp) -> Value {
    timestamp.parse().map_or_else(
        |_| "<unknown>".into(),
        |then| age::between(then, now).into(),
    )
}

/// A number at a JSON pointer, zero when there is none.
fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The text at a JSON pointer or `<none>`.
fn text_or_none(object: &Value, pointer: &str) -> Value {
    match object::text(object, pointer) {
        "" => "<none>".into(),
        text => text.into(),
    }
}

/// Labels as a selector: `a=1,b=2`.
fn labels(labels: &Value) -> String {
    match labels.as_object() {
        Some(labels) if !labels.is_empty() => labels
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(","),
        _ => "<none>".to_owned(),
    }
}

/// A label selector as text.
fn selector(selector: &Value) -> String {
    let mut parts = Vec::new();
    if selector["matchLabels"]
        .as_object()
        .is_some_and(|labels| !labels.is_empty())
    {
        parts.push(labels(&selector["matchLabels"]));
    }
    for expression in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = expression["key"].as_str().unwrap_or_default();
        let values = texts(&expression["values"]).join(",");
        parts.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    if parts.is_empty() {
        "<none>".to_owned()
    } else {
        parts.join(",")
    }
}

/// A label selector as the text of a selector, empty when there is none.
pub(crate) fn selector_text(value: &Value) -> String {
    match selector(value) {
        none if none == "<none>" => String::new(),
        text => text,
    }
}

/// The texts in a list.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Names and images of the containers of a pod spec.
fn containers(spec: &Value) -> (Value, Value) {
    let column = |field: &str| -> Value {
        let list: Vec<&str> = spec["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|container| container[field].as_str())
            .collect();
        list.join(",").into()
    };
    (column("name"), column("image"))
}
