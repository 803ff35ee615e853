//! Deployment, ReplicaSet, EndpointSlice, garbage collection and namespace controllers.
