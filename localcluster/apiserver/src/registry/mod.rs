//! What the server serves: the built-in kinds, those that CustomResourceDefinitions add, and the rules
//! that turn what a client sent into what is stored.

pub(crate) mod bootstrap;
pub(crate) mod columns;
pub(crate) mod custom;
mod defaults;
pub(crate) mod events;
pub(crate) mod kinds;
pub(crate) mod meta;
mod notices;
mod openapi;
mod prepare;
mod roles;
pub(crate) mod select;
mod validation;

pub(crate) use notices::notices;
pub(crate) use prepare::prepare;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::schema::{self, Schema};
use crate::status::{ApiError, Named};

/// A resource in one version.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    /// API group, empty for the core group.
    pub(crate) group: String,
    pub(crate) version: String,
    /// E.g. `Deployment`.
    pub(crate) kind: String,
    /// E.g. `deployments`.
    pub(crate) plural: String,
    /// E.g. `deployment`.
    pub(crate) singular: String,
    pub(crate) list_kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Where objects are kept: `group/plural` of the resource that owns the storage.
    pub(crate) storage: String,
    /// Whether `/status` is served; if so, writes to the main resource leave `status` alone.
    pub(crate) status: bool,
    /// Where `/scale` finds its numbers, if it is served.
    pub(crate) scale: Option<ScalePaths>,
    /// What else distinguishes the kind.
    pub(crate) behaviour: Behaviour,
}

/// JSON pointers that the scale subresource reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: String,
    pub(crate) status_replicas: String,
    pub(crate) label_selector: Option<String>,
}

/// Where a kind's rules come from.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Compiled in.
    Builtin(&'static kinds::Builtin),
    /// From a CustomResourceDefinition.
    Custom(Arc<custom::Custom>),
}

impl Named for Kind {
    fn group(&self) -> &str {
        &self.group
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn plural(&self) -> &str {
        &self.plural
    }
}

impl Kind {
    /// Structure of objects.
    pub(crate) fn schema(&self) -> &Schema {
        match &self.behaviour {
            Behaviour::Builtin(builtin) => {
                schema::builtin::schema(builtin.group, builtin.version, builtin.kind)
            }
            Behaviour::Custom(custom) => &custom.schema,
        }
    }

    /// Structure of objects as they are stored, which for one view of events is that of the other.
    pub(crate) fn stored_schema(&self) -> &Schema {
        if events::is_view(self) {
            schema::builtin::schema("", "v1", "Event")
        } else {
            self.schema()
        }
    }

    /// `apiVersion` of objects.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Prefix of the keys of all objects, or of those in one namespace.
    pub(crate) fn prefix(&self, namespace: &str) -> String {
        if namespace.is_empty() || !self.namespaced {
            format!("/{}/", self.storage)
        } else {
            format!("/{}/{namespace}/", self.storage)
        }
    }

    /// Key of one object.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> String {
        format!("{}{name}", self.prefix(namespace))
    }

    /// Returns whether objects have a `spec` whose changes `metadata.generation` counts.
    pub(crate) fn counts_generations(&self) -> bool {
        match &self.behaviour {
            Behaviour::Builtin(builtin) => builtin.generation,
            Behaviour::Custom(_) => true,
        }
    }

    /// Returns whether a subresource of its own is served.
    pub(crate) fn has_subresource(&self, name: &str) -> bool {
        match &self.behaviour {
            Behaviour::Builtin(builtin) => builtin.extra.iter().any(|(extra, ..)| *extra == name),
            Behaviour::Custom(_) => false,
        }
    }

    /// Returns whether its objects are questions, which are answered and not stored.
    pub(crate) fn is_review(&self) -> bool {
        matches!(self.behaviour, Behaviour::Builtin(builtin) if builtin.review)
    }

    /// Name of the definition that the kind comes from; `None` for a built-in kind.
    pub(crate) fn definition(&self) -> Option<&str> {
        match &self.behaviour {
            Behaviour::Builtin(_) => None,
            Behaviour::Custom(custom) => Some(&custom.definition),
        }
    }

    /// Returns whether this is the built-in resource `group/plural`.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    /// The fields that field selectors may name besides `metadata.name` and `metadata.namespace`.
    pub(crate) fn selectable_fields(&self) -> Vec<String> {
        match &self.behaviour {
            Behaviour::Builtin(builtin) => builtin
                .selectable
                .iter()
                .map(|field| (*field).to_owned())
                .collect(),
            Behaviour::Custom(_) => Vec::new(),
        }
    }

    /// Value as this version of the kind shows it.
    pub(crate) fn present(&self, stored: &Value) -> Value {
        let mut object = stored.clone();
        if events::is_view(self) {
            events::to_view(&mut object);
        }
        let fields = crate::object::fields(&mut object);
        fields.insert("kind".to_owned(), self.kind.clone().into());
        fields.insert("apiVersion".to_owned(), self.api_version().into());
        object
    }
}

/// Everything served at one moment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Catalog {
    kinds: BTreeMap<(String, String, String), Arc<Kind>>,
    /// Made when first asked for.
    documents: OnceLock<openapi::Documents>,
}

impl Catalog {
    /// The built-in kinds.
    pub(crate) fn builtin() -> Self {
        let mut catalog = Self::default();
        for builtin in kinds::BUILTIN {
            catalog.insert(builtin.to_kind());
        }
        catalog
    }

    pub(crate) fn insert(&mut self, kind: Kind) {
        let key = (
            kind.group.clone(),
            kind.version.clone(),
            kind.plural.clone(),
        );
        self.kinds.insert(key, Arc::new(kind));
    }

    pub(crate) fn find(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Result<Arc<Kind>, ApiError> {
        let key = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.kinds
            .get(&key)
            .cloned()
            .ok_or_else(ApiError::no_such_path)
    }

    /// The OpenAPI documents of everything served.
    pub(crate) fn openapi(&self) -> &openapi::Documents {
        self.documents.get_or_init(|| openapi::Documents::of(self))
    }

    /// All kinds, ordered by group, version and resource.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }
}
