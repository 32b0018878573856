//! Terraform plugin protocol 6 and go-plugin's services: generated from `protobuf/`, nothing else.

#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]

/// `tfplugin6`: what Terraform and a provider say to each other.
pub mod tfplugin6 {
    tonic::include_proto!("tfplugin6");
}

/// `plugin`: what go-plugin expects of every plugin.
pub mod plugin {
    tonic::include_proto!("plugin");
}

/// `grpc.health.v1`: the standard health check.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
