//! The component that refused a request. Nearly all of them respond with 403, so the API server's message is parsed.

/// The component that refused a request, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The account lacks a permission (RBAC or another authorizer).
    Permission {
        /// Verb.
        verb: String,
        /// Resource with API group, such as `deployments.apps`, or a non-resource path.
        resource: String,
        /// Namespace; `None` for the whole cluster.
        namespace: Option<String>,
    },
    /// The `ResourceQuota` of this name is exceeded.
    Quota(String),
    /// Pod Security: the pods violate this level and version, which the namespace enforces.
    PodSecurity(String),
    /// The admission webhook of this name denied the request.
    Webhook(String),
    /// The `ValidatingAdmissionPolicy` of this name denied the request.
    Policy(String),
    /// `OwnerReferencesPermissionEnforcement`: setting the owners of an object requires `delete` on the object.
    OwnerReferences,
    /// `OwnerReferencesPermissionEnforcement`: `blockOwnerDeletion` requires `update` on the owner's finalizers.
    BlockOwnerDeletion,
}

impl Refusal {
    /// Parses the code and message of a `Status`.
    pub(crate) fn parse(code: u16, message: &str) -> Option<Self> {
        // The message of a webhook can contain any text, including that of another refusal, so this is matched first.
        if let Some(rest) = after(message, "admission webhook \"")
            && rest.contains("\" denied the request")
        {
            return Some(Self::Webhook(until(rest, "\"")));
        }
        if let Some(rest) = after(message, "ValidatingAdmissionPolicy '")
            && rest.contains("denied request")
        {
            return Some(Self::Policy(until(rest, "'")));
        }
        if code != 403 {
            return None;
        }
        if let Some(rest) = after(message, "exceeded quota: ") {
            return Some(Self::Quota(until(rest, ",")));
        }
        if let Some(rest) = after(message, "violates PodSecurity \"") {
            return Some(Self::PodSecurity(until(rest, "\"")));
        }
        if message.contains("cannot set an ownerRef on a resource you can't delete") {
            return Some(Self::OwnerReferences);
        }
        if message.contains("cannot set blockOwnerDeletion") && message.contains("finalizers on") {
            return Some(Self::BlockOwnerDeletion);
        }
        permission(message)
    }

    /// The next step for an administrator of the cluster.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Permission {
                verb,
                resource,
                namespace: Some(namespace),
            } => format!("grant \"{verb}\" on {resource} in namespace {namespace} by RBAC"),
            Self::Permission { verb, resource, .. } => {
                format!("grant \"{verb}\" on {resource} in the whole cluster by RBAC")
            }
            Self::Quota(name) => {
                format!("raise ResourceQuota \"{name}\", or delete unused objects")
            }
            Self::PodSecurity(policy) => format!(
                "change the pods to comply with \"{policy}\", or change the namespace's label \
                 pod-security.kubernetes.io/enforce"
            ),
            Self::Webhook(name) => format!(
                "comply with admission webhook \"{name}\", or exempt this object from it"
            ),
            Self::Policy(name) => format!(
                "comply with ValidatingAdmissionPolicy \"{name}\", or exempt this object from it"
            ),
            Self::OwnerReferences => {
                "OwnerReferencesPermissionEnforcement requires \"delete\" on the object whose owner is set: grant it \
                 by RBAC"
                    .to_owned()
            }
            Self::BlockOwnerDeletion => {
                "OwnerReferencesPermissionEnforcement requires \"update\" on the finalizers of the owner: grant it \
                 by RBAC"
                    .to_owned()
            }
        }
    }
}

/// Parses `User "…" cannot create resource "deployments" in API group "apps" in the namespace "…"` or
/// `User "…" cannot get path "…"`.
fn permission(message: &str) -> Option<Refusal> {
    let rest = after(message, "User \"")?;
    let rest = after(rest, "\" cannot ")?;
    let verb = rest.split(' ').next()?.to_owned();
    if let Some(path) = after(rest, " path \"") {
        return Some(Refusal::Permission {
            verb,
            resource: until(path, "\""),
            namespace: None,
        });
    }
    let rest = after(rest, " resource \"")?;
    let plural = until(rest, "\"");
    let group = after(rest, " in API group \"").map(|rest| until(rest, "\""));
    let resource = match (group.as_deref(), plural.split_once('/')) {
        (None | Some(""), _) => plural,
        (Some(group), Some((plural, sub))) => format!("{plural}.{group}/{sub}"),
        (Some(group), None) => format!("{plural}.{group}"),
    };
    Some(Refusal::Permission {
        verb,
        resource,
        namespace: after(rest, " in the namespace \"").map(|rest| until(rest, "\"")),
    })
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

fn until(text: &str, end: &str) -> String {
    text.split(end).next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(code: u16, message: &str) -> Option<String> {
        Refusal::parse(code, message).map(|refusal| refusal.advice())
    }

    #[test]
    fn only_a_message_of_the_authorizer_leads_to_rbac() {
        let user = "User \"system:serviceaccount:istio-system:canary-controller\"";
        let sentence = format!(
            "deployments.apps is forbidden: {user} cannot create resource \"deployments\" in API group \"apps\" in the \
             namespace \"shop\""
        );
        assert_eq!(
            advice(403, &sentence).unwrap(),
            "grant \"create\" on deployments.apps in namespace shop by RBAC"
        );
        let sentence = format!(
            "canaries.flagger.app \"a\" is forbidden: {user} cannot patch resource \"canaries/status\" in API group \
             \"flagger.app\" in the namespace \"shop\": RBAC: role.rbac.authorization.k8s.io \"x\" not found"
        );
        assert_eq!(
            advice(403, &sentence).unwrap(),
            "grant \"patch\" on canaries.flagger.app/status in namespace shop by RBAC"
        );
        let sentence = format!(
            "secrets is forbidden: {user} cannot list resource \"secrets\" in API group \"\" at the cluster scope"
        );
        assert_eq!(
            advice(403, &sentence).unwrap(),
            "grant \"list\" on secrets in the whole cluster by RBAC"
        );
    }

    #[test]
    fn other_refusing_components_are_named() {
        let cases = [
            (
                403,
                "deployments.apps \"app-primary\" is forbidden: exceeded quota: objects, requested: \
                 count/deployments.apps=1, used: count/deployments.apps=2, limited: count/deployments.apps=2",
                "ResourceQuota \"objects\"",
            ),
            (
                403,
                "pods \"app\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false",
                "\"restricted:latest\"",
            ),
            (
                403,
                "admission webhook \"deny.example.com\" denied the request: exceeded quota: yours",
                "webhook \"deny.example.com\"",
            ),
            (
                400,
                "admission webhook \"deny.example.com\" denied the request without explanation",
                "webhook \"deny.example.com\"",
            ),
            (
                422,
                "deployments.apps \"app\" is forbidden: ValidatingAdmissionPolicy 'limits' with binding 'all' denied \
                 request: too many replicas",
                "ValidatingAdmissionPolicy \"limits\"",
            ),
            (
                403,
                "services \"app\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>",
                "\"delete\" on the object",
            ),
            (
                403,
                "services \"app\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource \
                 you can't set finalizers on: , <nil>",
                "\"update\" on the finalizers",
            ),
        ];
        for (code, message, part) in cases {
            let advice = advice(code, message).unwrap();
            assert!(advice.contains(part), "{message}: {advice}");
        }
    }

    #[test]
    fn unknown_refusals_have_no_advice() {
        assert_eq!(
            advice(
                403,
                "namespaces \"shop\" is forbidden: because it is being terminated"
            ),
            None
        );
        assert_eq!(
            advice(422, "Service \"a\" is invalid: spec.ports: Required value"),
            None
        );
    }
}
