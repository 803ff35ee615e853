//! CustomResourceDefinitions made from Rust types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// Removes the defaults of the Rust types from the schemas. The upstream definitions have none. With defaults the
/// API server would write them into every object, and tools that compare the applied manifest with the stored
/// object would always find a difference.
pub fn remove_defaults(definition: &mut CustomResourceDefinition) {
    let versions = definition.spec.versions.iter_mut();
    versions
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
        .for_each(remove);
}

fn remove(schema: &mut JSONSchemaProps) {
    schema.default = None;
    schema
        .properties
        .iter_mut()
        .flatten()
        .for_each(|(_, property)| remove(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        remove(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        remove(values);
    }
}
