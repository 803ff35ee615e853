//! The stories, in one program. `./run.sh test` runs more of them in parallel than there are cores, because they spend
//! most of the time waiting. Each uses a separate directory and separate addresses.
#![allow(
    clippy::unwrap_used,
    reason = "test helpers, which the lint's exception for tests does not cover"
)]

mod adoption;
mod alerts;
mod ambient;
mod article;
mod chart;
mod crash;
mod current;
mod fresh;
mod gates;
mod idle;
mod images;
mod manifests;
mod minikube;
mod minikube_ambient;
mod namespaced;
mod page;
mod parts;
mod release;
mod tools;
mod wrong_canaries;
