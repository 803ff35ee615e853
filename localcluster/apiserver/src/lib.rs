//! A Kubernetes API server on an embedded store, as a library.
