//! Which canaries read which objects. Watches keep it up to date, so that a change wakes only the canaries that it
//! concerns, and no tick walks over the other canaries.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;
use serde_json::Value;

use crate::{
    cluster::{Cluster, Key, Kind, Object, Touched},
    objects::{configs, services::Role},
    release::status,
    routing,
};

/// Finds the local copy of an object by kind, namespace and name.
type Find<'a> = &'a dyn Fn(Kind, &str, &str) -> Option<Arc<Object>>;

/// Which canaries read which objects.
#[derive(Debug, Default)]
pub struct Index(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The objects that a canary reads, by the key of the canary.
    reads: HashMap<Key, BTreeSet<Key>>,
    /// The reverse: the canaries that read an object.
    readers: HashMap<Key, BTreeSet<Key>>,
    /// Number of canaries in each namespace.
    counts: HashMap<String, usize>,
}

impl Index {
    /// Reads all canaries anew.
    pub fn rebuild(&self, cluster: &Cluster) {
        let mut inner = self.lock();
        *inner = Inner::default();
        for canary in cluster.list(Kind::CANARY) {
            inner.set(&key_of(&canary), Some(&canary), &|kind, namespace, name| {
                cluster.get(kind, namespace, name)
            });
        }
    }

    /// Takes in a change, and gives the canaries that it concerns.
    pub fn note(&self, seen: &Touched, cluster: &Cluster) -> BTreeSet<Key> {
        match seen {
            Touched::All(kind) => {
                if matches!(*kind, Kind::CANARY | Kind::DEPLOYMENT) {
                    self.rebuild(cluster);
                }
                self.lock().reads.keys().cloned().collect()
            }
            Touched::One(key) => {
                let find = |kind, namespace: &str, name: &str| cluster.get(kind, namespace, name);
                self.lock().note(key, &find)
            }
        }
    }

    /// The canaries that read the target or the Service, and so may belong to the same application.
    #[must_use]
    pub fn neighbours(&self, namespace: &str, target: &str, service: &str) -> BTreeSet<Key> {
        let inner = self.lock();
        let keys = [
            Key::new(Kind::DEPLOYMENT, namespace, target),
            Key::new(Kind::SERVICE, namespace, service),
        ];
        keys.iter().flat_map(|key| inner.readers_of(key)).collect()
    }

    /// Number of canaries in a namespace.
    #[must_use]
    pub fn count(&self, namespace: &str) -> usize {
        self.lock().counts.get(namespace).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note(&mut self, key: &Key, find: Find<'_>) -> BTreeSet<Key> {
        match key.kind {
            Kind::CANARY => {
                let canary = find(Kind::CANARY, &key.namespace, &key.name);
                let mut woken = self.refused_neighbours(key, find);
                self.set(key, canary.as_deref(), find);
                woken.extend(self.refused_neighbours(key, find));
                woken.extend(canary.map(|_| key.clone()));
                woken
            }
            Kind::DEPLOYMENT => {
                let readers = self.readers_of(key);
                for reader in &readers {
                    let canary = find(Kind::CANARY, &reader.namespace, &reader.name);
                    self.set(reader, canary.as_deref(), find);
                }
                readers
            }
            _ => self.readers_of(key),
        }
    }

    /// Sets what a canary reads; nothing if it does not exist.
    fn set(&mut self, key: &Key, canary: Option<&Object>, find: Find<'_>) {
        let after = canary.map(|canary| objects_of(canary, find));
        let count = self.counts.entry(key.namespace.clone()).or_default();
        match (self.reads.contains_key(key), after.is_some()) {
            (false, true) => *count += 1,
            (true, false) => *count -= 1,
            _ => {}
        }
        for object in self.reads.remove(key).into_iter().flatten() {
            if let Some(readers) = self.readers.get_mut(&object) {
                readers.remove(key);
                if readers.is_empty() {
                    self.readers.remove(&object);
                }
            }
        }
        if let Some(after) = after {
            for object in &after {
                let readers = self.readers.entry(object.clone()).or_default();
                readers.insert(key.clone());
            }
            self.reads.insert(key.clone(), after);
        }
    }

    fn readers_of(&self, key: &Key) -> BTreeSet<Key> {
        self.readers.get(key).cloned().unwrap_or_default()
    }

    /// The canaries that share an object with this one and are refused, perhaps because of it.
    fn refused_neighbours(&self, key: &Key, find: Find<'_>) -> BTreeSet<Key> {
        let own = self.reads.get(key).into_iter().flatten();
        let shared = own.filter(|object| matches!(object.kind, Kind::DEPLOYMENT | Kind::SERVICE));
        let neighbours = shared.flat_map(|object| self.readers_of(object));
        neighbours
            .filter(|other| {
                other != key
                    && find(Kind::CANARY, &other.namespace, &other.name)
                        .is_some_and(|canary| is_refused(&canary))
            })
            .collect()
    }
}

fn key_of(canary: &Object) -> Key {
    let namespace = canary.namespace().unwrap_or_default();
    Key::new(Kind::CANARY, &namespace, &canary.name_any())
}

/// The objects that a canary reads, directly or through its target, whether they exist or not.
pub(super) fn objects_of(canary: &Object, find: Find<'_>) -> BTreeSet<Key> {
    let namespace = canary.namespace().unwrap_or_default();
    let spec = &canary.data["spec"];
    let target = spec["targetRef"]["name"].as_str().unwrap_or_default();
    let service = spec["service"]["name"].as_str().unwrap_or(target);
    let key = |kind, name: &str| Key::new(kind, &namespace, name);
    let mut objects = BTreeSet::from([
        key_of(canary),
        key(Kind::DEPLOYMENT, target),
        key(Kind::DEPLOYMENT, &format!("{target}-primary")),
    ]);
    let services = [Role::Apex, Role::Primary, Role::Canary].map(|role| role.name(service));
    objects.extend(services.map(|name| key(Kind::SERVICE, &name)));
    let routes = routing::objects_of(service).into_iter();
    objects.extend(routes.map(|(kind, name)| key(kind, &name)));
    let analysis = &spec["analysis"];
    let references = [
        (Kind::METRIC_TEMPLATE, &analysis["metrics"], "templateRef"),
        (Kind::ALERT_PROVIDER, &analysis["alerts"], "providerRef"),
    ];
    for (kind, list, field) in references {
        let entries = list.as_array().into_iter().flatten();
        objects.extend(entries.filter_map(|entry| referred(kind, &entry[field], &namespace)));
    }
    if let Some(target) = find(Kind::DEPLOYMENT, &namespace, target) {
        let configs = configs::references(&target.data["spec"]["template"]["spec"]);
        for reference in configs.keys() {
            objects.insert(key(reference.kind, &reference.name));
            objects.insert(key(reference.kind, &reference.copy_name()));
        }
    }
    objects
}

fn referred(kind: Kind, reference: &Value, namespace: &str) -> Option<Key> {
    let given = reference["namespace"].as_str().filter(|n| !n.is_empty());
    let name = reference["name"].as_str()?;
    Some(Key::new(kind, given.unwrap_or(namespace), name))
}

fn is_refused(canary: &Object) -> bool {
    canary.data["status"]["waiting"]["reason"] == status::INVALID
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Objects that exist.
    #[derive(Default)]
    struct World(HashMap<Key, Arc<Object>>);

    impl World {
        fn put(&mut self, kind: Kind, name: &str, mut object: Value) -> Key {
            object["metadata"] = json!({ "name": name, "namespace": "ns" });
            let key = Key::new(kind, "ns", name);
            let object = serde_json::from_value(object).unwrap();
            self.0.insert(key.clone(), Arc::new(object));
            key
        }

        fn note(&self, inner: &mut Inner, key: &Key) -> Vec<String> {
            let find = |kind, namespace: &str, name: &str| {
                self.0.get(&Key::new(kind, namespace, name)).cloned()
            };
            let woken = inner.note(key, &find);
            woken.into_iter().map(|key| key.name).collect()
        }
    }

    fn canary(target: &str, template: &str) -> Value {
        json!({ "spec": {
            "targetRef": { "name": target },
            "analysis": { "metrics": [{ "templateRef": { "name": template, "namespace": "other" } }] },
        } })
    }

    fn deployment(config: &str) -> Value {
        let from = json!([{ "configMapRef": { "name": config } }]);
        json!({ "spec": { "template": { "spec": { "containers": [{ "envFrom": from }] } } } })
    }

    #[test]
    fn a_change_wakes_only_the_canaries_that_read_the_object() {
        let (mut world, mut inner) = (World::default(), Inner::default());
        for name in ["a", "b"] {
            world.put(
                Kind::DEPLOYMENT,
                name,
                deployment(&format!("{name}-config")),
            );
            let key = world.put(Kind::CANARY, name, canary(name, "latency"));
            assert_eq!(world.note(&mut inner, &key), [name]);
        }
        let mut woken = |key: &Key| world.note(&mut inner, key);
        for (kind, name) in [
            (Kind::DEPLOYMENT, "a"),
            (Kind::DEPLOYMENT, "a-primary"),
            (Kind::SERVICE, "a-canary"),
            (routing::istio::VIRTUAL_SERVICE, "a"),
            (Kind::CONFIG_MAP, "a-config"),
            (Kind::CONFIG_MAP, "a-config-primary"),
        ] {
            assert_eq!(woken(&Key::new(kind, "ns", name)), ["a"], "{kind} {name}");
            assert!(woken(&Key::new(kind, "elsewhere", name)).is_empty());
        }
        let template = Key::new(Kind::METRIC_TEMPLATE, "other", "latency");
        assert_eq!(woken(&template), ["a", "b"]);
        assert!(woken(&Key::new(Kind::SECRET, "ns", "a-config")).is_empty());
    }

    #[test]
    fn a_target_that_refers_to_another_config_map_is_followed() {
        let (mut world, mut inner) = (World::default(), Inner::default());
        let key = world.put(Kind::CANARY, "a", canary("a", "latency"));
        world.note(&mut inner, &key);
        let target = world.put(Kind::DEPLOYMENT, "a", deployment("first"));
        world.note(&mut inner, &target);
        world.put(Kind::DEPLOYMENT, "a", deployment("second"));
        world.note(&mut inner, &target);
        let mut woken = |name| world.note(&mut inner, &Key::new(Kind::CONFIG_MAP, "ns", name));
        assert!(woken("first").is_empty());
        assert_eq!(woken("second"), ["a"]);
    }

    #[test]
    fn a_refused_canary_is_woken_when_its_rival_goes() {
        let (mut world, mut inner) = (World::default(), Inner::default());
        let older = world.put(Kind::CANARY, "older", canary("app", "latency"));
        world.note(&mut inner, &older);
        let mut refused = canary("app", "latency");
        refused["status"]["waiting"]["reason"] = json!(status::INVALID);
        let younger = world.put(Kind::CANARY, "younger", refused);
        world.note(&mut inner, &younger);
        assert_eq!(inner.counts["ns"], 2);
        world.0.remove(&older);
        assert_eq!(world.note(&mut inner, &older), ["younger"]);
        assert_eq!(inner.counts["ns"], 1);
        world.0.remove(&younger);
        assert!(world.note(&mut inner, &younger).is_empty());
        assert!(inner.readers.is_empty() && inner.reads.is_empty());
    }
}
