//! What the parts of localcluster that drive another program from Kubernetes objects share.
//!
//! # Layout
//! - [`problem`]: what is wrong with an object
//! - [`events`]: saying so in Events, once
//! - [`definition`]: CustomResourceDefinitions made from Rust types
//! - [`reflect`]: local copies of objects that wake up a loop
//! - [`program`]: finding a program and checking its addresses before it is started
//! - [`child`]: whether it serves
//! - [`http`]: one small request to a program's admin interface

pub mod child;
pub mod definition;
pub mod events;
pub mod http;
pub mod problem;
pub mod program;
pub mod reflect;
