//! Objects that several tests use.

use super::Served;

/// A deployment and its service.
pub const APP: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {app: app}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - name: app
        image: app:1
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{port: 80, targetPort: http}]}
"#;

/// A definition of widgets.
pub const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What the widget should be.
            properties: {size: {type: integer, minimum: 1, description: Its size in widths.}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

/// Returns whether a line of a table has these cells in front, whatever lies between them.
pub fn has_row(table: &str, cells: &str) -> bool {
    let cells: Vec<&str> = cells.split_whitespace().collect();
    table.lines().any(|line| {
        let found: Vec<&str> = line.split_whitespace().collect();
        found.starts_with(&cells)
    })
}

/// A cluster with [`APP`].
pub async fn with_app() -> Served {
    let cluster = Served::start().await;
    let applied = cluster.apply(APP, &[]).await;
    assert!(applied.success, "{applied:?}");
    cluster
}
