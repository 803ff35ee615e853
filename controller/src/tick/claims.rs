//! Whose the objects are that exist before a canary makes them, from the local copies; the rule is that of
//! [`crate::objects::ownership`].

use std::collections::BTreeMap;

use canary_engine::{observed::Observed, phase::Phase};
use serde_json::Value;

use super::{context::Context, observe};
use crate::{
    cluster::{
        CHECKSUM_ANNOTATION, Cluster, Key, Kind, Object, digest, json_of, labels::SelectorLabel,
    },
    objects::{
        configs::{self, ConfigRef},
        ownership::{Claim, Standing, standing},
        services::Role,
    },
    release::{
        Release,
        problem::{Problem, Problems},
        status,
        validation::validate,
    },
    routing::{self, Router},
    targets::deployment,
};

/// An object that has the name of one that a canary makes, and that it does not own.
pub(super) struct Existing {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) object: Value,
    pub(super) standing: Standing,
}

/// The field that names what the object is derived from.
fn field(kind: Kind) -> &'static str {
    match kind {
        Kind::DEPLOYMENT | Kind::CONFIG_MAP | Kind::SECRET => "spec.targetRef.name",
        _ => "spec.service.name",
    }
}

/// An object that a canary makes.
enum Generated {
    Service(Role),
    Copy(ConfigRef),
    Primary,
    Route(Kind, String),
}

impl Generated {
    fn kind(&self) -> Kind {
        match self {
            Generated::Service(_) => Kind::SERVICE,
            Generated::Copy(reference) => reference.kind,
            Generated::Primary => Kind::DEPLOYMENT,
            Generated::Route(kind, _) => *kind,
        }
    }

    fn name(&self, release: &Release) -> String {
        match self {
            Generated::Service(role) => role.name(&release.service_name),
            Generated::Copy(reference) => reference.copy_name(),
            Generated::Primary => release.primary(),
            Generated::Route(_, name) => name.clone(),
        }
    }
}

/// The objects that a canary makes, in the order in which they are made. `configs` are those that are tracked.
fn generated(
    release: &Release,
    configs: &BTreeMap<String, String>,
    target: &Value,
    router: &dyn Router,
) -> Vec<Generated> {
    let mut all = vec![
        Generated::Service(Role::Canary),
        Generated::Service(Role::Primary),
    ];
    all.extend(tracked(configs, target).map(Generated::Copy));
    all.extend([Generated::Primary, Generated::Service(Role::Apex)]);
    let route = router.names(&release.service_name).into_iter();
    all.extend(route.map(|(kind, name)| Generated::Route(kind, name)));
    all
}

/// The ConfigMaps and Secrets of a target that are tracked.
fn tracked(configs: &BTreeMap<String, String>, target: &Value) -> impl Iterator<Item = ConfigRef> {
    let all = configs::references(&target["spec"]["template"]["spec"]).into_keys();
    all.filter(|reference| configs.contains_key(&reference.status_key()))
}

/// The objects of a canary's names that exist and that it does not own, in the order in which it makes them.
pub(super) fn unowned(
    release: &Release,
    observed: &Observed,
    router: &dyn Router,
    cluster: &Cluster,
) -> Vec<Existing> {
    let namespace = release.namespace();
    let owner = release.owner();
    let copy = |kind, name: &str| cluster.get(kind, namespace, name);
    let Some(target) = copy(Kind::DEPLOYMENT, release.target()) else {
        // The generated objects depend on the target.
        return Vec::new();
    };
    let target = json_of(&target);
    let primary = copy(Kind::DEPLOYMENT, &release.primary()).map(|object| json_of(&object));
    let services = observe::services(release, &target, &owner);
    let claim = |one: &Generated, object: &Value| match one {
        Generated::Service(role) => services.claim(*role, object),
        Generated::Copy(reference) => {
            let source = copy(reference.kind, &reference.name).and_then(|one| checksum(&one));
            let checksum = object["metadata"]["annotations"][CHECKSUM_ANNOTATION].as_str();
            let same = checksum.is_some() && checksum == source.as_deref();
            configs::claim(reference, object, same, primary.as_ref())
        }
        Generated::Primary => deployment::claim(&release.selector, object),
        Generated::Route(kind, name) => router.claim(release, *kind, name, object),
    };
    let all = generated(release, &observed.target.configs, &target, router).into_iter();
    all.filter_map(|one| {
        let (kind, name) = (one.kind(), one.name(release));
        let object = copy(kind, &name).filter(|object| !is_owned(object, release))?;
        let object = json_of(&object);
        let shared = matches!(one, Generated::Copy(_));
        let gone = is_gone(cluster, namespace);
        let standing = standing(&object, &owner, shared, gone, || claim(&one, &object));
        Some(Existing {
            kind,
            name,
            object,
            standing,
        })
    })
    .collect()
}

/// Returns whether a copy of tracked configuration does not exist yet.
pub(super) fn lacks_copy(
    release: &Release,
    configs: &BTreeMap<String, String>,
    cluster: &Cluster,
) -> bool {
    let get = |kind, name: &str| cluster.get(kind, release.namespace(), name);
    let target = get(Kind::DEPLOYMENT, release.target());
    let target = target.map(|object| json_of(&object)).unwrap_or_default();
    tracked(configs, &target).any(|copy| get(copy.kind, &copy.copy_name()).is_none())
}

/// Returns whether a copy that exists now is a stranger's, who made it since the canary was last observed.
pub(crate) fn is_foreign_copy(
    reference: &ConfigRef,
    source: &Object,
    copy: &Object,
    primary: Option<&Object>,
    owner: &Value,
    cluster: &Cluster,
) -> bool {
    let same = digest::config_checksum(&copy.data) == digest::config_checksum(&source.data);
    let (copy, primary) = (json_of(copy), primary.map(json_of));
    let claim = || configs::claim(reference, &copy, same, primary.as_ref());
    is_strangers(&copy, owner, true, cluster, claim)
}

/// Returns whether a Deployment of the primary's name is a stranger's.
pub(crate) fn is_foreign(
    existing: &Value,
    selector: &SelectorLabel,
    owner: &Value,
    cluster: &Cluster,
) -> bool {
    let claim = || deployment::claim(selector, existing);
    is_strangers(existing, owner, false, cluster, claim)
}

fn is_strangers(
    existing: &Value,
    owner: &Value,
    shared: bool,
    cluster: &Cluster,
    claim: impl FnOnce() -> Claim,
) -> bool {
    let namespace = existing["metadata"]["namespace"].as_str();
    let gone = is_gone(cluster, namespace.unwrap_or_default());
    matches!(
        standing(existing, owner, shared, gone, claim),
        Standing::Foreign(_)
    )
}

/// Returns whether no Canary has this name and uid in the namespace.
pub(super) fn is_gone<'a>(
    cluster: &'a Cluster,
    namespace: &'a str,
) -> impl Fn(&str, &str) -> bool + 'a {
    move |name, uid| {
        let canary = cluster.get(Kind::CANARY, namespace, name);
        canary.is_none_or(|canary| canary.metadata.uid.as_deref() != Some(uid))
    }
}

fn checksum(object: &Object) -> Option<String> {
    let annotations = object.metadata.annotations.as_ref()?;
    annotations.get(CHECKSUM_ANNOTATION).cloned()
}

fn is_initializing(observed: &Observed) -> bool {
    matches!(observed.status.phase, Phase::None | Phase::Initializing)
}

/// Refuses a canary that would take over what is somebody else's.
///
/// A canary that has been initialized may have taken something over when nobody asked whose it is: it goes on. Copies are
/// made for every release, so they are asked about at each.
///
/// # Errors
/// One problem for each such object.
pub fn refuse_strangers(
    release: &Release,
    observed: &Observed,
    router: &dyn Router,
    cluster: &Cluster,
) -> Result<(), Problems> {
    let is_copy = |one: &Existing| matches!(one.kind, Kind::CONFIG_MAP | Kind::SECRET);
    let initializing = is_initializing(observed);
    let problem = |one: Existing| match one.standing {
        Standing::Foreign(why) => Some(Problem::new(
            field(one.kind),
            format!(
                "{} \"{}\" exists and does not belong to Canary \"{}\": {why}",
                one.kind, one.name, release.canary.name
            ),
            "rename or remove it, for the Canary makes one of that name; nothing has been changed",
        )),
        _ => None,
    };
    let all = unowned(release, observed, router, cluster).into_iter();
    let asked = all.filter(|one| initializing || is_copy(one));
    let problems: Vec<_> = asked.filter_map(problem).collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Problems(problems))
    }
}

/// What exists already of the objects of a canary that is being initialized, and what does not, in words; `None` once
/// it is.
#[must_use]
pub fn made_so_far(canary: &Object, ctx: &Context) -> Option<String> {
    let raw = status::of_object(canary);
    if !matches!(status::read(&raw).phase, Phase::None | Phase::Initializing) {
        return None;
    }
    let release = validate(canary, ctx, &ctx.settings).ok()?;
    let router = routing::find(&release.canary.provider)?;
    let (settings, now) = (&ctx.settings, ctx.clock.now());
    let observed = observe::observe(&release, &raw, &ctx.cluster, router, settings, now).ok()?;
    let namespace = release.namespace();
    let target = ctx
        .cluster
        .get(Kind::DEPLOYMENT, namespace, release.target())?;
    let all = generated(
        &release,
        &observed.target.configs,
        &json_of(&target),
        router,
    )
    .into_iter();
    let all = all.map(|one| (one.kind(), one.name(&release)));
    // What is in neither list is a user's, or could not be owned again.
    let (mut made, mut missing) = (Vec::new(), Vec::new());
    for (kind, name) in all {
        let key = Key::new(kind, namespace, &name);
        if is_made(&key, &release, &ctx.cluster) {
            made.push((kind, name));
        } else if !ctx.cluster.knows(&key) {
            missing.push((kind, name));
        }
    }
    let list = |objects: &[(Kind, String)]| {
        let names = objects.iter().map(|(kind, name)| format!("{kind} {name}"));
        names.collect::<Vec<_>>().join(", ")
    };
    Some(if made.is_empty() {
        "nothing has been made yet".to_owned()
    } else if missing.is_empty() {
        format!("made so far: {}", list(&made))
    } else {
        format!(
            "made so far: {}; still missing: {}",
            list(&made),
            list(&missing)
        )
    })
}

/// Whether the canary has made the object: it owns the local copy, or there is none yet of what was just written.
fn is_made(key: &Key, release: &Release, cluster: &Cluster) -> bool {
    match cluster.get(key.kind, &key.namespace, &key.name) {
        None => cluster.knows(key),
        Some(copy) => is_owned(&copy, release),
    }
}

fn is_owned(object: &Object, release: &Release) -> bool {
    let mut owners = object.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.uid == release.uid)
}
