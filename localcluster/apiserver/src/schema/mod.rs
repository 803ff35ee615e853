//! Schemas of kinds: which fields an object has, of which types, and how lists and maps merge.
//!
//! Built-in kinds and CustomResourceDefinitions share this form; everything that needs to know an
//! object's structure works on it: decoding, pruning, defaulting, validation and the patch formats.

pub(crate) mod builtin;
pub(crate) mod cel;
pub(crate) mod conform;
pub(crate) mod default;
pub(crate) mod embedded;
mod formats;
mod lists;
pub(crate) mod quantity;
mod rules;
pub(crate) mod structural;
pub(crate) mod validate;

use std::collections::BTreeMap;

use serde_json::Value;

use rules::Rules;

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Type {
    /// Nothing is said: any value.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// An integer or a string.
    IntOrString,
}

impl Type {
    /// The name in schemas and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

/// How a list merges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ListType {
    /// It is one value, replaced as a whole.
    #[default]
    Atomic,
    /// Its items are scalars and each is there at most once.
    Set,
    /// Its items are objects identified by these fields.
    Map(Vec<String>),
}

/// A node of a schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    /// Name of a built-in definition that stands in this place.
    reference: Option<String>,
    pub(crate) kind: Type,
    /// `format`, empty when there is none.
    pub(crate) format: String,
    pub(crate) properties: BTreeMap<String, Schema>,
    /// Schema of the values of a map.
    pub(crate) additional: Option<Box<Schema>>,
    pub(crate) items: Option<Box<Schema>>,
    /// Fields that are not named are kept.
    pub(crate) preserve_unknown: bool,
    /// The value is an object with a kind and metadata of its own.
    pub(crate) embedded: bool,
    pub(crate) nullable: bool,
    pub(crate) default: Option<Value>,
    pub(crate) list: ListType,
    /// The object merges as one value.
    pub(crate) atomic: bool,
    /// Key by which a strategic merge patch merges the list; empty for lists of scalars.
    pub(crate) patch_merge_key: Option<String>,
    /// Value validations.
    rules: Option<Box<Rules>>,
    /// Validation rules in CEL.
    validations: Vec<cel::Validation>,
    /// There are validation rules here or below.
    ruled: bool,
}

impl Schema {
    /// Compiles a schema given as JSON. Regular expressions that cannot be compiled are reported.
    pub(crate) fn compile(source: &Value) -> Result<Self, String> {
        let text = |key: &str| source[key].as_str().unwrap_or_default();
        let flag = |key: &str| source[key] == true;
        // A reference with other keywords beside it stands inside `allOf`.
        let reference = source
            .get("$ref")
            .or_else(|| source.pointer("/allOf/0/$ref"));
        if let Some(reference) = reference.and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return Ok(Self {
                reference: Some(name.to_owned()),
                ..Self::merging(source)
            });
        }
        let int_or_string = flag("x-kubernetes-int-or-string") || text("format") == "int-or-string";
        let kind = match text("type") {
            _ if int_or_string => Type::IntOrString,
            "object" => Type::Object,
            "array" => Type::Array,
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            _ => Type::Any,
        };
        let child = |key: &str| -> Result<Option<Box<Self>>, String> {
            match &source[key] {
                Value::Object(_) => Self::compile(&source[key]).map(Box::new).map(Some),
                // `additionalProperties: true` allows anything.
                Value::Bool(true) => Ok(Some(Box::default())),
                _ => Ok(None),
            }
        };
        let mut properties = BTreeMap::new();
        for (name, property) in source["properties"].as_object().into_iter().flatten() {
            properties.insert(name.clone(), Self::compile(property)?);
        }
        let (items, additional) = (child("items")?, child("additionalProperties")?);
        let validations = cel::Validation::of(source);
        let mut children = properties
            .values()
            .chain(additional.as_deref())
            .chain(items.as_deref());
        let ruled = !validations.is_empty() || children.any(|child: &Self| child.ruled);
        Ok(Self {
            kind,
            format: text("format").to_owned(),
            properties,
            additional,
            items,
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            nullable: flag("nullable"),
            // A null is no default, as upstream decodes it.
            default: source
                .get("default")
                .filter(|value| !value.is_null())
                .cloned(),
            rules: Rules::compile(source)?.map(Box::new),
            validations,
            ruled,
            ..Self::merging(source)
        })
    }

    /// What a schema says about merging.
    fn merging(source: &Value) -> Self {
        let text = |key: &str| source[key].as_str().unwrap_or_default();
        let keys = source["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten();
        let list = match text("x-kubernetes-list-type") {
            "map" => ListType::Map(keys.filter_map(Value::as_str).map(str::to_owned).collect()),
            "set" => ListType::Set,
            _ => ListType::Atomic,
        };
        let strategy = text("x-kubernetes-patch-strategy");
        let merges = strategy.split(',').any(|word| word == "merge");
        Self {
            list,
            atomic: text("x-kubernetes-map-type") == "atomic",
            patch_merge_key: merges.then(|| text("x-kubernetes-patch-merge-key").to_owned()),
            ..Self::default()
        }
    }

    /// The schema itself, or the definition it refers to.
    pub(crate) fn resolve(&self) -> &Self {
        match &self.reference {
            Some(name) => builtin::definition(name),
            None => self,
        }
    }

    /// Returns whether the object merges as one value, said here or at the definition referred to.
    pub(crate) fn is_atomic(&self) -> bool {
        self.atomic || self.resolve().atomic
    }

    /// The schema of a field, if the schema knows it.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let schema = self.resolve();
        schema.properties.get(name).or(schema.additional.as_deref())
    }

    /// The schema of a list's items.
    pub(crate) fn item(&self) -> Option<&Self> {
        self.resolve().items.as_deref()
    }
}
