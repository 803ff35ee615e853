//! The kubelet's records of a pod's containers.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
        ContainerStateWaiting, ContainerStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use localcluster_shared::process::Exit;

/// A finished run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: &'static str,
    pub(crate) message: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) id: Option<String>,
}

impl Ended {
    pub(crate) fn new(
        exit: Exit,
        started_at: Timestamp,
        finished_at: Timestamp,
        id: String,
    ) -> Self {
        Self {
            exit_code: exit.code(),
            signal: match exit {
                Exit::Signal(signal) => Some(signal),
                Exit::Code(_) => None,
            },
            reason: if exit.is_success() {
                "Completed"
            } else {
                "Error"
            },
            message: None,
            started_at: Some(started_at),
            finished_at: Some(finished_at),
            id: Some(id),
        }
    }

    /// A run that ended while no kubelet was running.
    fn unseen(id: Option<String>, started_at: Option<Timestamp>) -> Self {
        Self {
            exit_code: 137,
            signal: None,
            reason: "ContainerStatusUnknown",
            message: Some("The container could not be located when the node came back.".into()),
            started_at,
            finished_at: None,
            id,
        }
    }

    fn of(status: &ContainerStateTerminated) -> Self {
        // Any other reason was written by an older kubelet.
        let reason = match status.reason.as_deref() {
            Some("Completed") => "Completed",
            Some("ContainerStatusUnknown") => "ContainerStatusUnknown",
            _ => "Error",
        };
        Self {
            exit_code: status.exit_code,
            signal: status.signal,
            reason,
            message: status.message.clone(),
            started_at: status.started_at.as_ref().map(|time| time.0),
            finished_at: status.finished_at.as_ref().map(|time| time.0),
            id: status.container_id.clone(),
        }
    }

    fn to_status(&self) -> ContainerStateTerminated {
        ContainerStateTerminated {
            exit_code: self.exit_code,
            signal: self.signal,
            reason: Some(self.reason.into()),
            message: self.message.clone(),
            started_at: self.started_at.map(Time),
            finished_at: self.finished_at.map(Time),
            container_id: self.id.clone(),
        }
    }
}

/// State of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Not running yet, or not running again yet.
    Waiting {
        reason: &'static str,
        message: Option<String>,
    },
    /// The process is running.
    Running { since: Timestamp, id: String },
    /// The process has exited; it may be restarted.
    Ended(Ended),
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// The image as written in the pod's spec.
    pub(crate) image: String,
    pub(crate) image_id: String,
    pub(crate) state: State,
    pub(crate) last: Option<Ended>,
    pub(crate) restarts: i32,
    /// Whether the container is running and its startup probe has passed.
    pub(crate) started: bool,
    pub(crate) ready: bool,
}

impl Record {
    pub(crate) fn new(container: &Container, waiting: &'static str) -> Self {
        Self {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            image_id: String::new(),
            state: State::Waiting {
                reason: waiting,
                message: None,
            },
            last: None,
            restarts: 0,
            started: false,
            ready: false,
        }
    }

    /// Restores the record from a status that a previous kubelet wrote. The container is not
    /// running any more: a run without a known end counts as a crash and the next one as a restart.
    pub(crate) fn resume(&mut self, status: &ContainerStatus) {
        self.restarts = status.restart_count;
        self.last = status
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
            .map(Ended::of);
        let Some(state) = &status.state else { return };
        if let Some(running) = &state.running {
            let since = running.started_at.as_ref().map(|time| time.0);
            self.last = Some(Ended::unseen(status.container_id.clone(), since));
            self.restarts += 1;
        } else if let Some(ended) = &state.terminated {
            self.last = Some(Ended::of(ended));
            self.restarts += 1;
        }
    }

    pub(crate) fn to_status(&self) -> ContainerStatus {
        let (mut state, mut id) = (ContainerState::default(), None);
        match &self.state {
            State::Waiting { reason, message } => {
                state.waiting = Some(ContainerStateWaiting {
                    reason: Some((*reason).into()),
                    message: message.clone(),
                });
                id = self.last.as_ref().and_then(|ended| ended.id.clone());
            }
            State::Running { since, id: running } => {
                state.running = Some(ContainerStateRunning {
                    started_at: Some(Time(*since)),
                });
                id = Some(running.clone());
            }
            State::Ended(ended) => {
                state.terminated = Some(ended.to_status());
                id.clone_from(&ended.id);
            }
        }
        let last = self.last.as_ref().map(Ended::to_status);
        ContainerStatus {
            name: self.name.clone(),
            image: self.image.clone(),
            image_id: self.image_id.clone(),
            container_id: id,
            ready: self.ready,
            started: Some(self.started),
            restart_count: self.restarts,
            state: Some(state),
            last_state: Some(ContainerState {
                terminated: last,
                ..ContainerState::default()
            }),
            ..ContainerStatus::default()
        }
    }
}
