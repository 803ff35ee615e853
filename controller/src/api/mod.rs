//! The custom resources of `flagger.app/v1beta1`, as serde types with their schemas.
//!
//! They accept the same fields as Flagger's definitions, so existing manifests apply unchanged. Validation rules reject
//! only settings that neither controller can complete. Additions are optional and limited to `status`. Status fields
//! written by others survive: the definition preserves unknown fields, and this controller patches only its own.

mod alert_provider;
mod analysis;
mod canary;
mod definitions;
mod metric_template;
mod rules;
mod schema;
mod service;
mod status;

pub use alert_provider::{AlertProvider, AlertProviderSpec};
pub use analysis::{
    AlertSpec, AnalysisSpec, MetricSpec, NamespacedRef, SessionAffinity, ThresholdRange, Webhook,
};
pub use canary::{AutoscalerRef, Canary, CanarySpec, NamedRef, TargetRef, UpstreamRef};
pub use definitions::{definitions, definitions_yaml};
pub use metric_template::{MetricProviderSpec, MetricTemplate, MetricTemplateSpec, SecretRef};
pub use service::{
    CustomMetadata, HeaderOperations, Headers, Retries, Rewrite, ServiceSpec, UnmanagedMetadata,
};
pub use status::{CanaryStatus, CheckStatus, Condition, WaitingStatus};

/// API group of the three kinds.
pub const GROUP: &str = "flagger.app";
/// API version of the three kinds.
pub const VERSION: &str = "v1beta1";
