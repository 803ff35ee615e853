//! Schemas of the built-in kinds, from the types of `k8s-openapi`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::{
    apps::v1 as apps, authentication::v1 as authentication, authorization::v1 as authorization,
    autoscaling::v1 as autoscaling_v1, autoscaling::v2 as autoscaling, batch::v1 as batch,
    coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
    events::v1 as events, networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{Schema, lists};

/// Where OpenAPI documents keep their schemas.
pub(crate) const SCHEMAS: &str = "/components/schemas";

/// All definitions as JSON, by name (`io.k8s.api.core.v1.Pod`), with what [`lists`] knows.
pub(crate) static DOCUMENTS: LazyLock<Map<String, Value>> = LazyLock::new(documents);

static DEFINITIONS: LazyLock<BTreeMap<String, Schema>> = LazyLock::new(|| {
    DOCUMENTS
        .iter()
        .map(|(name, document)| {
            let schema = if holds_anything(name) {
                Ok(Schema::default())
            } else {
                Schema::compile(document)
            };
            // The definitions are fixed; a test compiles all of them.
            (name.clone(), schema.unwrap_or_default())
        })
        .collect()
});

static ANYTHING: LazyLock<Schema> = LazyLock::new(Schema::default);

/// The compiled definition called `name`.
pub(super) fn definition(name: &str) -> &'static Schema {
    DEFINITIONS.get(name).unwrap_or(&ANYTHING)
}

/// The schema of `metadata`.
pub(super) fn object_meta() -> &'static Schema {
    definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
}

/// The schema of a built-in kind.
pub(crate) fn schema(group: &str, version: &str, kind: &str) -> &'static Schema {
    definition(&definition_name(group, version, kind))
}

/// Name of the definition of a built-in kind.
pub(crate) fn definition_name(group: &str, version: &str, kind: &str) -> String {
    if group == "apiextensions.k8s.io" {
        return format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}");
    }
    let package = match group {
        "" => "core",
        other => other.split('.').next().unwrap_or_default(),
    };
    format!("io.k8s.api.{package}.{version}.{kind}")
}

/// Types whose values are free-form.
fn holds_anything(name: &str) -> bool {
    matches!(
        name.rsplit('.').next().unwrap_or_default(),
        "JSON"
            | "RawExtension"
            | "FieldsV1"
            | "JSONSchemaPropsOrBool"
            | "JSONSchemaPropsOrArray"
            | "JSONSchemaPropsOrStringArray"
    )
}

fn documents() -> Map<String, Value> {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
    });
    let mut generator = settings.into_generator();
    macro_rules! include {
        ($($kind:ty),* $(,)?) => { $( generator.subschema_for::<$kind>(); )* };
    }
    include!(
        core::Namespace,
        core::Pod,
        core::Service,
        core::Endpoints,
        core::ConfigMap,
        core::Secret,
        core::ServiceAccount,
        core::Event,
        core::Node,
        apps::Deployment,
        apps::ReplicaSet,
        apps::DaemonSet,
        apps::StatefulSet,
        discovery::EndpointSlice,
        coordination::Lease,
        events::Event,
        rbac::Role,
        rbac::ClusterRole,
        rbac::RoleBinding,
        rbac::ClusterRoleBinding,
        policy::PodDisruptionBudget,
        autoscaling::HorizontalPodAutoscaler,
        autoscaling_v1::Scale,
        networking::NetworkPolicy,
        networking::Ingress,
        batch::Job,
        apiextensions::CustomResourceDefinition,
        authorization::SelfSubjectAccessReview,
        authorization::SelfSubjectRulesReview,
        authorization::SubjectAccessReview,
        authentication::TokenReview,
        authentication::SelfSubjectReview,
        authentication::TokenRequest,
        meta::DeleteOptions,
        meta::Status,
    );
    let mut documents = generator.take_definitions(true);
    for (name, document) in &mut documents {
        let short = name.rsplit('.').next().unwrap_or_default().to_owned();
        annotate(&short, document);
    }
    documents
}

/// Adds merge rules to the definition of the type called `name`, and puts references that have a
/// description beside them into `allOf`, as OpenAPI wants them.
fn annotate(name: &str, document: &mut Value) {
    if lists::ATOMIC.contains(&name) {
        document["x-kubernetes-map-type"] = "atomic".into();
    }
    if name == "Quantity" {
        document["format"] = "quantity".into();
    }
    let Some(properties) = document
        .get_mut("properties")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for (field, schema) in properties {
        let path = format!("{name}.{field}");
        if let Some(merging) = lists::FIELDS.iter().find(|merging| merging.field == path) {
            merging.annotate(schema);
        } else if schema["type"] == "array" {
            schema["x-kubernetes-list-type"] = "atomic".into();
        }
        if matches!(
            path.as_str(),
            "ContainerPort.protocol" | "ServicePort.protocol"
        ) {
            // A key of its list, and so known even when it is left out.
            schema["default"] = "TCP".into();
        }
        if lists::ATOMIC.contains(&path.as_str()) {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        if let Some(fields) = schema.as_object_mut()
            && fields.len() > 1
            && let Some(reference) = fields.remove("$ref")
        {
            fields.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ListType;

    #[test]
    fn every_definition_compiles() {
        for document in DOCUMENTS.values() {
            Schema::compile(document).unwrap();
        }
    }

    #[test]
    fn every_merge_rule_names_a_field_that_exists() {
        let exists = |path: &str| {
            let (name, field) = path.split_once('.').unwrap_or((path, ""));
            DOCUMENTS.iter().any(|(full, document)| {
                full.ends_with(&format!(".{name}"))
                    && (field.is_empty() || document["properties"].get(field).is_some())
            })
        };
        for path in lists::FIELDS
            .iter()
            .map(|rule| rule.field)
            .chain(lists::ATOMIC.iter().copied())
        {
            assert!(exists(path), "{path}");
        }
    }

    #[test]
    fn containers_merge_by_name() {
        let deployment = schema("apps", "v1", "Deployment");
        let pod = deployment
            .field("spec")
            .unwrap()
            .field("template")
            .unwrap()
            .field("spec")
            .unwrap();
        let containers = pod.field("containers").unwrap();
        assert_eq!(containers.list, ListType::Map(vec!["name".to_owned()]));
        assert!(containers.item().unwrap().field("image").is_some());
        assert!(
            deployment
                .field("spec")
                .unwrap()
                .field("selector")
                .unwrap()
                .is_atomic()
        );
    }
}
