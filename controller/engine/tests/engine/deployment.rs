//! A model of a Deployment and of the pods that its controller and the kubelet make of it.

use std::collections::{BTreeMap, BTreeSet};

use canary_engine::observed::Workload;
use jiff::{SignedDuration, Timestamp};

/// A pod template with the configuration it refers to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Release {
    pub(crate) revision: String,
    pub(crate) configs: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Pod {
    revision: String,
    born: i64,
    ready: bool,
}

/// A Deployment whose rolling update keeps every old pod until a new one is ready.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) template: Release,
    pub(crate) wanted: u32,
    pods: Vec<Pod>,
    /// Changed since the last step of the Deployment controller.
    unobserved: bool,
    progressed: i64,
    unavailable: Option<i64>,
    /// There are no resources for new pods.
    pub(crate) starved: bool,
}

impl Deployment {
    pub(crate) fn new(template: Release, wanted: u32) -> Deployment {
        Deployment {
            template,
            wanted,
            pods: Vec::new(),
            unobserved: true,
            progressed: 0,
            unavailable: None,
            starved: false,
        }
    }

    pub(crate) fn change(&mut self, now: i64) {
        self.unobserved = true;
        self.progressed = now;
    }

    pub(crate) fn set_template(&mut self, template: Release, now: i64) {
        self.template = template;
        self.change(now);
    }

    pub(crate) fn scale(&mut self, wanted: u32, now: i64) {
        self.wanted = wanted;
        self.change(now);
    }

    /// Removes all pods at once.
    pub(crate) fn evict(&mut self, now: i64) {
        self.pods.clear();
        self.progressed = now;
    }

    /// Restarts one pod.
    pub(crate) fn restart_pod(&mut self, now: i64) {
        if let Some(pod) = self.pods.first_mut() {
            pod.born = now;
            pod.ready = false;
        }
        self.progressed = now;
    }

    /// Runs the Deployment controller and the kubelet for one second.
    pub(crate) fn step(&mut self, now: i64, broken: &BTreeSet<String>, startup: i64) {
        self.unobserved = false;
        let revision = self.template.revision.clone();
        let is_new = |pod: &Pod| pod.revision == revision;
        for pod in &mut self.pods {
            let room = !self.starved || pod.ready;
            let ready = room && !broken.contains(&pod.revision) && now - pod.born >= startup;
            if ready && !pod.ready && pod.revision == revision {
                self.progressed = now;
            }
            pod.ready = ready;
        }
        let wanted = self.wanted as usize;
        while self.pods.iter().filter(|pod| is_new(pod)).count() < wanted {
            self.pods.push(Pod {
                revision: revision.clone(),
                born: now,
                ready: false,
            });
        }
        let ready = self
            .pods
            .iter()
            .filter(|pod| is_new(pod) && pod.ready)
            .count();
        let mut keep_old = wanted.saturating_sub(ready);
        let mut keep_new = wanted;
        self.pods.retain(|pod| {
            let keep = if is_new(pod) {
                &mut keep_new
            } else {
                &mut keep_old
            };
            let kept = *keep > 0;
            *keep = keep.saturating_sub(1);
            kept
        });
        let short = self.available() < self.wanted;
        self.unavailable = short.then(|| self.unavailable.unwrap_or(now));
    }

    pub(crate) fn available(&self) -> u32 {
        self.pods.iter().filter(|pod| pod.ready).count() as u32
    }

    pub(crate) fn observe(&self, now: i64, deadline: i64) -> Workload {
        let new = |pod: &&Pod| pod.revision == self.template.revision;
        let updated = self.pods.iter().filter(new).count() as u32;
        let ready = self.pods.iter().filter(new).filter(|pod| pod.ready).count() as u32;
        Workload {
            replicas_wanted: self.wanted,
            replicas: self.pods.len() as u32,
            updated,
            available: self.available(),
            generation_observed: !self.unobserved,
            behind_since: self.unobserved.then(|| instant(now)),
            unready_since: None,
            deadline_exceeded: (ready < self.wanted && now - self.progressed > deadline)
                .then(|| instant(self.progressed + deadline)),
            unavailable_since: self.unavailable.map(instant),
        }
    }
}

pub(crate) fn instant(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(seconds)
}
