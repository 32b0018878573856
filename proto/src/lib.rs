//! Terraform plugin protocol 6, go-plugin's services, the API of Talos Linux and the part of Teleport's that is used: generated from `protobuf/`, nothing else.

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

/// The API of Talos Linux, written from its public sources: provider and lab each speak it with code of their own.
pub mod talos {
    /// `common`: what its services share.
    pub mod common {
        tonic::include_proto!("common");
    }

    /// `machine`: MachineService, LifecycleService, ImageService, events.
    pub mod machine {
        tonic::include_proto!("machine");
    }

    /// `storage`: StorageService.
    pub mod storage {
        tonic::include_proto!("storage");
    }

    /// `cosi.resource`: the resource API.
    pub mod cosi {
        /// Its one package.
        pub mod resource {
            tonic::include_proto!("cosi.resource");
        }
    }

    /// `google.rpc`: the standard of error details.
    pub mod google {
        /// Its one package.
        pub mod rpc {
            tonic::include_proto!("google.rpc");
        }
    }

    /// `definitions`: binary specs of resources.
    pub mod definitions {
        tonic::include_proto!("definitions");
    }
}

/// `proto`: join tokens at Teleport's auth service.
pub mod teleport {
    tonic::include_proto!("proto");
}
