//! The stories, in one program: `./run.sh test` tells more of them at a time than this machine has cores, for most of
//! the time they wait. Each brings up what it needs in a directory and on addresses of its own.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint's own exception does not see"
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
