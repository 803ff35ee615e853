//! The end of CustomResourceDefinitions: their objects go first.

use crate::status::ApiError;
use serde_json::Value;

use super::server::{Server, WriteError};
use crate::object;
use crate::registry::{Kind, custom};
use crate::store::Expect;

/// Keeps a definition until its objects are gone.
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Marks a definition whose deletion begins.
pub(crate) fn begin(server: &Server, definition: &mut Value) {
    let mut finalizers = object::finalizers(definition);
    if !finalizers.contains(&FINALIZER) {
        finalizers.push(FINALIZER);
    }
    let finalizers: Vec<Value> = finalizers.into_iter().map(Into::into).collect();
    object::metadata(definition).insert("finalizers".to_owned(), finalizers.into());
    custom::accept(
        definition,
        &custom::definitions(&server.store),
        &server.clock,
    );
}

/// Refuses new objects of a definition that is going.
pub(crate) fn check_creation(server: &Server, kind: &Kind) -> Result<(), ApiError> {
    let going = kind
        .definition()
        .and_then(|name| server.store.get(&custom::definition_key(name)))
        .is_some_and(|record| object::is_deleting(&record.value));
    if !going {
        return Ok(());
    }
    let mut error = ApiError::method_not_allowed();
    "create not allowed while custom resource definition is terminating"
        .clone_into(&mut error.message);
    Err(error)
}

impl Server {
    /// Lets a definition go that is being deleted, once it has no objects.
    pub(crate) async fn release_definition(&self, name: &str) -> Result<(), WriteError> {
        let catalog = self.catalog();
        let Ok(kind) = catalog.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        else {
            return Ok(());
        };
        loop {
            let key = kind.key("", name);
            let Some(record) = self.store.get(&key) else {
                return Ok(());
            };
            let mut definition = (*record.value).clone();
            let empty = self
                .store
                .scan(&custom::storage_prefix(&definition))
                .is_empty();
            if !object::is_deleting(&definition) || !empty {
                return Ok(());
            }
            let rest: Vec<Value> = object::finalizers(&definition)
                .into_iter()
                .filter(|&finalizer| finalizer != FINALIZER)
                .map(Into::into)
                .collect();
            let written = if rest.is_empty() {
                object::metadata(&mut definition).remove("finalizers");
                Box::pin(self.remove(&kind, &key, definition, record.revision)).await
            } else {
                object::metadata(&mut definition).insert("finalizers".to_owned(), rest.into());
                let expect = Expect::Revision(record.revision);
                self.put(&kind, &key, definition, expect).await
            };
            match written {
                Err(error) if error.is_conflict() => {}
                other => return other.map(|_| ()),
            }
        }
    }
}
