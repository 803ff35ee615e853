//! Who owns which fields: `metadata.managedFields`.
//!
//! An applier owns what it applied last. Any other writer owns what it changed last. A field that two
//! appliers set to the same value has two owners; setting it to another value is a conflict unless forced.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::{FieldSet, Leaves, leaves, show};
use super::{PatchError, apply};
use crate::object;
use crate::schema::Schema;

/// Fields that nobody owns: those that identify the object and those that the server sets.
const UNOWNED: [&[&str]; 13] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "generateName"],
    &["metadata", "creationTimestamp"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "deletionGracePeriodSeconds"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "resourceVersion"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
];

/// A writer, as it is told apart from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manager {
    pub(crate) name: String,
    /// Whether it applied, or wrote in another way.
    pub(crate) applies: bool,
    pub(crate) api_version: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
}

impl Manager {
    fn show(&self) -> String {
        let subresource = match self.subresource.as_str() {
            "" => String::new(),
            name => format!(" with subresource {name:?}"),
        };
        format!("{:?}{subresource} using {}", self.name, self.api_version)
    }
}

/// What a writer owns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    fields: FieldSet,
    /// When the set changed last.
    time: String,
}

/// All writers of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Managers(BTreeMap<Manager, Owned>);

/// A field that somebody else owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The owner.
    pub(crate) manager: String,
    /// The field.
    pub(crate) field: String,
}

/// Why an apply failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApplyError {
    /// The applied object is malformed.
    Patch(PatchError),
    /// Others own fields that would change.
    Conflicts(Vec<Conflict>),
}

impl From<PatchError> for ApplyError {
    fn from(error: PatchError) -> Self {
        Self::Patch(error)
    }
}

/// Fields outside of what a write to this subresource can change.
fn beyond(subresource: &str) -> &'static [&'static [&'static str]] {
    match subresource {
        "status" => &[&["spec"], &["metadata"], &["data"]],
        _ => &[&["status"]],
    }
}

/// A write of an object, apart from what it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write<'a> {
    /// Structure of the object.
    pub(crate) schema: &'a Schema,
    /// Whether `status` is written apart from the rest.
    pub(crate) has_status: bool,
    pub(crate) writer: &'a Manager,
    /// The time of the write.
    pub(crate) now: &'a str,
}

impl Write<'_> {
    /// What of an object the writer can own.
    fn owned(&self, leaves: &Leaves<'_>) -> FieldSet {
        self.ownable(FieldSet::of(leaves))
    }

    fn ownable(&self, set: FieldSet) -> FieldSet {
        let set = set.without(&UNOWNED);
        if self.has_status {
            set.without(beyond(&self.writer.subresource))
        } else {
            set
        }
    }
}

impl Managers {
    /// Reads `metadata.managedFields`.
    pub(crate) fn read(object: &Value) -> Result<Self, PatchError> {
        let mut managers = Self::default();
        let entries = object
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            let manager = Manager {
                name: text("manager"),
                applies: match entry["operation"].as_str() {
                    Some("Apply") => true,
                    Some("Update") => false,
                    _ => continue,
                },
                api_version: text("apiVersion"),
                subresource: text("subresource"),
            };
            let fields = match &entry["fieldsV1"] {
                Value::Null => FieldSet::default(),
                json => FieldSet::from_json(json)?,
            };
            managers.0.insert(
                manager,
                Owned {
                    fields,
                    time: text("time"),
                },
            );
        }
        Ok(managers)
    }

    /// Writes `metadata.managedFields`.
    pub(crate) fn write(&self, object: &mut Value) {
        let mut entries: Vec<(&Manager, &Owned)> = self
            .0
            .iter()
            .filter(|(_, owned)| !owned.fields.is_empty())
            .collect();
        entries.sort_by_key(|(manager, owned)| {
            (!manager.applies, owned.time.clone(), manager.name.clone())
        });
        let entries: Vec<Value> = entries
            .into_iter()
            .map(|(manager, owned)| entry(manager, owned))
            .collect();
        let metadata = object::metadata(object);
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), entries.into());
        }
    }

    /// Records that `writer` turned `old` into `new` other than by applying.
    pub(crate) fn record_update(
        &mut self,
        old: &Value,
        new: &Value,
        write: &Write<'_>,
    ) -> Result<(), PatchError> {
        let Write {
            schema,
            writer,
            now,
            ..
        } = write;
        let (before, after) = (leaves(schema, old)?, leaves(schema, new)?);
        let mut changed = FieldSet(
            after
                .iter()
                .filter(|(path, value)| match (before.get(*path), value) {
                    (None, _) => true,
                    (Some(old), new) => old.is_some() && new.is_some() && old != *new,
                })
                .map(|(path, _)| path.clone())
                .collect(),
        );
        let removed = FieldSet(
            before
                .keys()
                .filter(|path| !after.contains_key(*path))
                .cloned()
                .collect(),
        );
        changed = write.ownable(changed);
        for (manager, owned) in &mut self.0 {
            owned.fields.subtract(&removed);
            if manager != *writer {
                owned.fields.subtract(&changed);
            }
        }
        if !changed.is_empty() {
            let owned = self.0.entry((*writer).clone()).or_insert_with(|| Owned {
                fields: FieldSet::default(),
                time: String::new(),
            });
            owned.fields.union(&changed);
            (*now).clone_into(&mut owned.time);
        }
        self.0.retain(|_, owned| !owned.fields.is_empty());
        Ok(())
    }

    /// Applies `config` to `live` as `writer`: the merged object, without fields that the writer applied
    /// before and does not any more, unless somebody else owns them.
    pub(crate) fn apply(
        &mut self,
        live: &Value,
        config: &Value,
        write: &Write<'_>,
        force: bool,
    ) -> Result<Value, ApplyError> {
        let Write {
            schema,
            writer,
            now,
            ..
        } = *write;
        let wanted = write.owned(&leaves(schema, config)?);
        let mut merged = apply::merge(schema, live, config)?;

        let mut abandoned = self
            .0
            .get(writer)
            .map(|owned| owned.fields.clone())
            .unwrap_or_default();
        abandoned.subtract(&wanted);
        let mut kept = wanted.clone();
        for (_, owned) in self.0.iter().filter(|(manager, _)| *manager != writer) {
            kept.union(&owned.fields);
        }
        apply::remove(schema, &mut merged, &abandoned, &kept);

        let (before, after) = (leaves(schema, live)?, leaves(schema, &merged)?);
        let changes = |path: &super::fields::Path| match (before.get(path), after.get(path)) {
            (Some(old), Some(new)) => old != new,
            _ => false,
        };
        let mut conflicts = Vec::new();
        for (manager, owned) in &mut self.0 {
            if manager == writer {
                continue;
            }
            let contested: Vec<_> = owned
                .fields
                .0
                .iter()
                .filter(|path| wanted.0.contains(*path) && changes(path))
                .cloned()
                .collect();
            for path in contested {
                conflicts.push(Conflict {
                    manager: manager.show(),
                    field: show(&path),
                });
                owned.fields.0.remove(&path);
            }
        }
        if !conflicts.is_empty() && !force {
            return Err(ApplyError::Conflicts(conflicts));
        }
        let removed = FieldSet(
            before
                .keys()
                .filter(|path| !after.contains_key(*path))
                .cloned()
                .collect(),
        );
        self.0
            .values_mut()
            .for_each(|owned| owned.fields.subtract(&removed));

        let entry = self.0.entry(writer.clone()).or_insert_with(|| Owned {
            fields: FieldSet::default(),
            time: now.to_owned(),
        });
        if entry.fields != wanted {
            *entry = Owned {
                fields: wanted,
                time: now.to_owned(),
            };
        }
        self.0.retain(|_, owned| !owned.fields.is_empty());
        Ok(merged)
    }
}

fn entry(manager: &Manager, owned: &Owned) -> Value {
    let mut entry = Map::new();
    let operation = if manager.applies { "Apply" } else { "Update" };
    entry.insert("manager".to_owned(), manager.name.clone().into());
    entry.insert("operation".to_owned(), operation.into());
    entry.insert("apiVersion".to_owned(), manager.api_version.clone().into());
    entry.insert("time".to_owned(), owned.time.clone().into());
    entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
    entry.insert("fieldsV1".to_owned(), owned.fields.to_json());
    if !manager.subresource.is_empty() {
        entry.insert("subresource".to_owned(), manager.subresource.clone().into());
    }
    Value::Object(entry)
}

#[cfg(test)]
mod tests;
