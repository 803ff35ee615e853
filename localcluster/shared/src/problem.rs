//! Mistakes in an object, which become Events on it.

use std::fmt;

use kube::{Resource, ResourceExt, core::DynamicObject};

/// Which object, in which generation.
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

    /// The id of an object that could not be read as its kind.
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

/// Kind of a problem; the `reason` of its Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Well formed, but this mesh cannot do it; the rest of the object is honoured.
    Unsupported,
    /// The object makes no sense; its last good version stays in force.
    Invalid,
    /// It names something that does not exist. Reported only when that lasts, because objects of
    /// one manifest arrive one after the other.
    Unresolved,
    /// An older object already speaks for the same host.
    Conflict,
    /// Envoy refused it; its last good version stays in force.
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
    /// Kind of the problem.
    pub reason: Reason,
    /// Path of the field, as `spec.http[0].match[1].uri`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Collects the problems of one object.
#[derive(Debug)]
pub struct Report {
    object: ObjectId,
    problems: Vec<Problem>,
}

impl Report {
    /// A report on `object` without problems.
    pub fn new(object: ObjectId) -> Self {
        Self {
            object,
            problems: Vec::new(),
        }
    }

    /// Note a problem of any kind.
    pub fn note(&mut self, reason: Reason, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            object: self.object.clone(),
            reason,
            field: field.into(),
            message: message.into(),
        });
    }

    /// Note a field that cannot be honoured here.
    pub fn unsupported(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.note(Reason::Unsupported, field, message);
    }

    /// Note a mistake.
    pub fn invalid(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.note(Reason::Invalid, field, message);
    }

    /// Whether a mistake was noted.
    pub fn is_invalid(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.reason == Reason::Invalid)
    }

    /// The problems noted.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}
