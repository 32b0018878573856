//! The simulated Kubernetes control plane: a real API for kubectl and kube clients over objects in memory.
//!
//! Guaranteed: TLS with client certificates, RBAC, server-side apply, watches, Tables, etcd membership and quorum, the kubeadm objects.
//! Not simulated: containers, admission webhooks, conversion, aggregated API servers, exec and port forwarding (501).
//! `ControlPlane` is what machines use; `agent` is what the control plane needs of machines.

mod admission;
mod age;
pub mod agent;
mod answer;
mod api;
mod cluster_info;
mod controller;
mod defaults;
mod deletion;
mod discovery;
mod eviction;
mod field_set;
mod host_pod;
mod identity;
mod kind;
mod member;
mod node;
mod objects;
mod ownership;
mod patch;
mod plane;
mod pod;
mod protobuf;
mod rbac;
mod reading;
mod request;
mod review;
mod scale;
mod schema;
mod seed;
mod selector;
mod server;
mod shape;
pub(crate) mod snapshot;
mod status;
mod store;
mod table;
mod watch;
mod workload;

pub use member::Member;
pub use plane::ControlPlane;
pub use server::ApiServer;
