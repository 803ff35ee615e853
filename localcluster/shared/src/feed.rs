//! One watch per kind, shared by all its users. It keeps a local copy of the objects and reports each change with the
//! object before and after it.

use std::{collections::HashMap, fmt::Debug, hash::Hash, sync::Arc};

use futures::{Stream, StreamExt};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store, store, store::Writer},
        watcher::Event,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::watch::watch;

/// Called with an object before and after a change. At least one of the two is present.
type Listener<K> = Box<dyn Fn(Option<&K>, Option<&K>) + Send>;

/// A watch of all objects of one kind.
pub struct Feed<K: Resource<DynamicType = ()> + Clone + 'static> {
    api: Api<K>,
    store: Store<K>,
    writer: Writer<K>,
    listeners: Vec<Listener<K>>,
}

impl<K> Feed<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Creates a feed of the objects that `api` lists.
    pub fn new(api: Api<K>) -> Self {
        let (store, writer) = store();
        Self {
            api,
            store,
            writer,
            listeners: Vec::new(),
        }
    }

    /// The local copy. It is updated before the listeners are called.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Calls `listener` on every change, and once per existing object at the start.
    pub fn on_change(&mut self, listener: impl Fn(Option<&K>, Option<&K>) + Send + 'static) {
        self.listeners.push(Box::new(listener));
    }

    /// Adds the keys that `keys` returns for a changed object to `queue`.
    pub fn enqueue<M>(
        &mut self,
        queue: &Queue<M>,
        keys: impl Fn(&K) -> Vec<ObjectRef<M>> + Send + 'static,
    ) where
        M: Resource<DynamicType = ()> + 'static,
    {
        let queue = queue.clone();
        self.on_change(move |before, after| {
            let (before, after) = (
                before.map(&keys).unwrap_or_default(),
                after.map(&keys).unwrap_or_default(),
            );
            for key in before
                .iter()
                .filter(|key| !after.contains(key))
                .chain(&after)
            {
                queue.push(key.clone());
            }
        });
    }

    /// Runs the watch. Never returns.
    pub async fn run(mut self) {
        let mut events = watch(self.api.clone(), K::kind(&()).into_owned()).boxed();
        while let Some(event) = events.next().await {
            match event {
                Event::Init => self.relist(&mut events).await,
                event => self.apply(&event),
            }
        }
    }

    fn apply(&mut self, event: &Event<K>) {
        let (Event::Apply(object) | Event::Delete(object)) = event else {
            return;
        };
        let before = self.store.get(&ObjectRef::from_obj(object));
        self.writer.apply_watcher_event(event);
        let after = matches!(event, Event::Apply(_)).then_some(object);
        self.report(
            before
                .as_deref()
                .or(Some(object).filter(|_| after.is_none())),
            after,
        );
    }

    /// Applies a complete list before it reports the differences, so that no listener sees a partial list.
    async fn relist(&mut self, events: &mut (impl Stream<Item = Event<K>> + Unpin)) {
        let mut before: HashMap<ObjectRef<K>, Arc<K>> = self
            .store
            .state()
            .into_iter()
            .map(|object| (ObjectRef::from_obj(&*object), object))
            .collect();
        self.writer.apply_watcher_event(&Event::Init);
        while let Some(event) = events.next().await {
            self.writer.apply_watcher_event(&event);
            if matches!(event, Event::InitDone) {
                break;
            }
        }
        for object in self.store.state() {
            let old = before.remove(&ObjectRef::from_obj(&*object));
            self.report(old.as_deref(), Some(&object));
        }
        for gone in before.into_values() {
            self.report(Some(&gone), None);
        }
    }

    fn report(&self, before: Option<&K>, after: Option<&K>) {
        for listener in &self.listeners {
            listener(before, after);
        }
    }
}

/// Keys of objects to reconcile. The receiver removes duplicates.
#[derive(Debug)]
pub struct Queue<M: Resource>(mpsc::UnboundedSender<ObjectRef<M>>)
where
    M::DynamicType: Debug + Hash + Eq;

impl<M: Resource<DynamicType = ()>> Clone for Queue<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Resource<DynamicType = ()>> Queue<M> {
    /// Creates a queue and its receiver.
    pub fn new() -> (Self, UnboundedReceiverStream<ObjectRef<M>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), UnboundedReceiverStream::new(receiver))
    }

    /// Requests a reconciliation of `key`.
    pub fn push(&self, key: ObjectRef<M>) {
        // The receiver is dropped only when the controllers shut down.
        let _ = self.0.send(key);
    }
}

/// The controlling owner of `object` if it is of kind `M`.
pub fn controller_of<M: Resource<DynamicType = ()>>(
    object: &impl ResourceExt,
) -> Option<ObjectRef<M>> {
    let owner = object
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))?;
    let same = owner.kind == M::kind(&()) && owner.api_version == M::api_version(&());
    same.then(|| ObjectRef::new(&owner.name).within(&object.namespace().unwrap_or_default()))
}
