//! Problems of an object, which become Events on it.

use std::fmt;

use kube::{Resource, ResourceExt, core::DynamicObject};

/// Identifies an object and its generation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    /// `apiVersion` of the object.
    pub api_version: String,
    /// `kind` of the object.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation; 0 for kinds without one.
    pub generation: i64,
}

impl ObjectId {
    /// The id of `object`.
    pub fn of<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        Self {
            api_version: K::api_version(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            generation: object.meta().generation.unwrap_or_default(),
        }
    }

    /// The id of an object that could not be parsed as its kind.
    pub fn of_dynamic(object: &DynamicObject, api_version: &str, kind: &str) -> Self {
        Self {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The category of a problem, and the `reason` of its Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The field is well formed but not supported here. The rest of the object takes effect.
    Unsupported,
    /// The object is invalid. Its last good version stays in effect.
    Invalid,
    /// A reference names an object that does not exist. Reported only if it stays unresolved, because the objects
    /// of a manifest are created one after the other.
    Unresolved,
    /// An older object already claims the same host.
    Conflict,
    /// Envoy rejected the object. Its last good version stays in effect.
    Rejected,
}

impl Reason {
    /// The `reason` of the Event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "Unsupported",
            Self::Invalid => "Invalid",
            Self::Unresolved => "Unresolved",
            Self::Conflict => "Conflict",
            Self::Rejected => "Rejected",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object.
    pub object: ObjectId,
    /// Category of the problem.
    pub reason: Reason,
    /// Path of the field, such as `spec.http[0].match[1].uri`.
    pub field: String,
    /// Message for people: the problem and its fix.
    pub message: String,
}

/// Collects the problems of one object.
#[derive(Debug)]
pub struct Report {
    object: ObjectId,
    problems: Vec<Problem>,
}

impl Report {
    /// An empty report on `object`.
    pub fn new(object: ObjectId) -> Self {
        Self {
            object,
            problems: Vec::new(),
        }
    }

    /// Adds a problem with any reason.
    pub fn note(&mut self, reason: Reason, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            object: self.object.clone(),
            reason,
            field: field.into(),
            message: message.into(),
        });
    }

    /// Adds a problem with [`Reason::Unsupported`].
    pub fn unsupported(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.note(Reason::Unsupported, field, message);
    }

    /// Adds a problem with [`Reason::Invalid`].
    pub fn invalid(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.note(Reason::Invalid, field, message);
    }

    /// True if a problem with [`Reason::Invalid`] was added.
    pub fn is_invalid(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.reason == Reason::Invalid)
    }

    /// The collected problems.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}
