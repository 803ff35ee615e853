//! Sets of fields: which parts of an object somebody owns. The JSON form is Kubernetes' `FieldsV1`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use super::PatchError;
use crate::schema::{ListType, Schema};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Element {
    /// A field of an object.
    Field(String),
    /// An item of a list that merges by key: the keys as JSON.
    Key(String),
    /// An item of a set: the value as JSON.
    Item(String),
}

/// From the root of an object to one of its parts.
pub(crate) type Path = Vec<Element>;

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(pub(crate) BTreeSet<Path>);

/// What stands at each path of an object: a value that is owned as a whole, or nothing for items that
/// are owned apart from their fields.
pub(crate) type Leaves<'a> = BTreeMap<Path, Option<&'a Value>>;

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(formatter, ".{name}"),
            Self::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let parts: Vec<String> = keys
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                write!(formatter, "[{}]", parts.join(","))
            }
            Self::Item(value) => write!(formatter, "[={value}]"),
        }
    }
}

/// A path as people read it: `.spec.containers[name="app"].image`.
pub(crate) fn show(path: &Path) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// All owned parts of an object.
pub(crate) fn leaves<'a>(schema: &Schema, object: &'a Value) -> Result<Leaves<'a>, PatchError> {
    let mut found = Leaves::new();
    walk(Some(schema), object, &mut Path::new(), &mut found)?;
    Ok(found)
}

fn walk<'a>(
    schema: Option<&Schema>,
    value: &'a Value,
    path: &mut Path,
    found: &mut Leaves<'a>,
) -> Result<(), PatchError> {
    match value {
        Value::Object(fields) if !schema.is_some_and(Schema::is_atomic) => {
            if fields.is_empty() && !path.is_empty() {
                found.insert(path.clone(), Some(value));
            }
            for (name, value) in fields {
                path.push(Element::Field(name.clone()));
                let declared =
                    schema.is_some_and(|schema| schema.resolve().properties.contains_key(name));
                if !declared {
                    // The entry of a map is there even without its content.
                    found.insert(path.clone(), None);
                }
                walk(
                    schema.and_then(|schema| schema.field(name)),
                    value,
                    path,
                    found,
                )?;
                path.pop();
            }
        }
        Value::Array(items) if schema.is_some_and(merges) => {
            for item in items {
                let element = element(schema, item).map_err(|why| at(path, &why))?;
                path.push(element);
                if found.insert(path.clone(), None).is_some() {
                    return Err(at(path, "duplicate entries for key"));
                }
                if item.is_object() {
                    walk(schema.and_then(Schema::item), item, path, found)?;
                }
                path.pop();
            }
        }
        _ => {
            found.insert(path.clone(), Some(value));
        }
    }
    Ok(())
}

fn at(path: &Path, why: &str) -> PatchError {
    PatchError::Malformed(format!("{}: {why}", show(path)))
}

/// Returns whether a list is more than one value.
pub(super) fn merges(schema: &Schema) -> bool {
    schema.list != ListType::Atomic
}

/// What identifies an item of a list that merges.
pub(super) fn element(schema: Option<&Schema>, item: &Value) -> Result<Element, String> {
    match schema.map(|schema| &schema.list) {
        Some(ListType::Map(keys)) => {
            let mut identity = Map::new();
            for key in keys {
                let default = || schema?.item()?.field(key)?.default.clone();
                let value = item.get(key).cloned().or_else(default).ok_or_else(|| {
                    format!("associative list with keys has an element that omits key field {key:?} (and doesn't have default value)")
                })?;
                identity.insert(key.clone(), value);
            }
            Ok(Element::Key(Value::Object(identity).to_string()))
        }
        _ => Ok(Element::Item(item.to_string())),
    }
}

impl FieldSet {
    /// The paths of what an object has.
    pub(crate) fn of(leaves: &Leaves<'_>) -> Self {
        Self(leaves.keys().cloned().collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn union(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.0.retain(|path| !other.0.contains(path));
    }

    /// Returns whether the set has the path or something below it.
    pub(crate) fn has_within(&self, path: &Path) -> bool {
        self.0
            .range(path.clone()..)
            .next()
            .is_some_and(|next| next.starts_with(path))
    }

    /// Drops all paths for which the first fields are among `prefixes`.
    pub(crate) fn without(mut self, prefixes: &[&[&str]]) -> Self {
        self.0.retain(|path| {
            !prefixes.iter().any(|prefix| {
                path.len() >= prefix.len()
                    && prefix.iter().zip(path).all(
                        |(name, element)| matches!(element, Element::Field(field) if field == name),
                    )
            })
        });
        self
    }

    /// Reads `FieldsV1`.
    pub(crate) fn from_json(json: &Value) -> Result<Self, PatchError> {
        let mut set = Self::default();
        set.read(json, &mut Path::new())?;
        Ok(set)
    }

    fn read(&mut self, json: &Value, path: &mut Path) -> Result<(), PatchError> {
        let malformed = || PatchError::Malformed("managedFields: malformed fieldsV1".to_owned());
        let children = json.as_object().ok_or_else(malformed)?;
        if children.is_empty() && !path.is_empty() {
            self.0.insert(path.clone());
        }
        for (name, child) in children {
            if name == "." {
                self.0.insert(path.clone());
                continue;
            }
            let element = match name.split_once(':') {
                Some(("f", field)) => Element::Field(field.to_owned()),
                Some(("k", keys)) => {
                    let keys: Value = serde_json::from_str(keys).map_err(|_| malformed())?;
                    Element::Key(keys.to_string())
                }
                Some(("v", value)) => {
                    let value: Value = serde_json::from_str(value).map_err(|_| malformed())?;
                    Element::Item(value.to_string())
                }
                // Positions in lists are written by nobody any more.
                _ => continue,
            };
            path.push(element);
            self.read(child, path)?;
            path.pop();
        }
        Ok(())
    }

    /// Writes `FieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut root = Value::Object(Map::new());
        for path in &self.0 {
            let mut node = &mut root;
            for element in path {
                let name = match element {
                    Element::Field(field) => format!("f:{field}"),
                    Element::Key(keys) => format!("k:{keys}"),
                    Element::Item(value) => format!("v:{value}"),
                };
                node = &mut node[name];
                if node.is_null() {
                    *node = json!({});
                }
            }
            // A dot says that the path is owned; a leaf needs none.
            node["."] = json!({});
        }
        drop_leaf_dots(&mut root);
        root
    }
}

fn drop_leaf_dots(node: &mut Value) {
    if let Some(children) = node.as_object_mut() {
        if children.len() == 1 && children.contains_key(".") {
            children.clear();
        }
        children.values_mut().for_each(drop_leaf_dots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;

    #[test]
    fn the_fields_of_a_deployment_are_those_that_upstream_records() {
        let schema = builtin::schema("apps", "v1", "Deployment");
        let object = json!({
            "metadata": { "labels": { "app": "a" }, "finalizers": ["x/y"] },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": { "app": "a" } },
                "template": { "spec": { "containers": [{
                    "name": "c", "image": "i", "args": ["1"], "resources": {},
                    "ports": [{ "containerPort": 80 }],
                }] } },
            },
        });
        let set = FieldSet::of(&leaves(schema, &object).unwrap());
        let expected = json!({
            "f:metadata": { "f:labels": { "f:app": {} }, "f:finalizers": { "v:\"x/y\"": {} } },
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": { "f:spec": { "f:containers": { "k:{\"name\":\"c\"}": {
                    ".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:resources": {},
                    "f:ports": { "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                        ".": {}, "f:containerPort": {},
                    } },
                } } } },
            },
        });
        assert_eq!(set.to_json(), expected);
        assert_eq!(FieldSet::from_json(&expected).unwrap(), set);
        let shown: Vec<String> = set.0.iter().map(show).collect();
        assert!(shown.contains(&r#".spec.template.spec.containers[name="c"].image"#.to_owned()));
    }

    #[test]
    fn items_without_their_key_are_refused() {
        let schema = builtin::schema("", "v1", "Pod");
        let object = json!({ "spec": { "containers": [{ "image": "i" }] } });
        assert!(leaves(schema, &object).is_err());
    }
}
