//! What there is: metadata, schemas, functions, and the checks of configurations.

use std::collections::HashMap;

use strata_proto::tfplugin6 as wire;

use super::{Service, unknown_type};
use crate::erased::{AnyDataSource, AnyEphemeral, AnyResource, guarded};
use crate::resource::Provider;
use crate::schema::Schema;
use crate::server::convert;
use crate::{Diagnostics, Model, Path, Value};

const CAPABILITIES: wire::ServerCapabilities = wire::ServerCapabilities {
    plan_destroy: true,
    // The schema does not depend on configuration or process.
    get_provider_schema_optional: true,
    move_resource_state: true,
    generate_resource_config: true,
};

impl<P: Provider> Service<P> {
    pub(super) fn metadata(&self) -> wire::get_metadata::Response {
        let registry = self.registry();
        let names = |names: &mut dyn Iterator<Item = &String>| -> Vec<_> {
            names
                .map(|name| wire::get_metadata::TypeMetadata {
                    type_name: name.clone(),
                })
                .collect()
        };
        let functions = registry.functions.keys();
        wire::get_metadata::Response {
            server_capabilities: Some(CAPABILITIES),
            data_sources: names(&mut registry.data_sources.keys()),
            resources: names(&mut registry.resources.keys()),
            functions: functions
                .map(|name| wire::get_metadata::FunctionMetadata { name: name.clone() })
                .collect(),
            ephemeral_resources: names(&mut registry.ephemerals.keys()),
            list_resources: names(&mut registry.lists.keys()),
            ..Default::default()
        }
    }

    pub(super) fn schema(&self) -> wire::get_provider_schema::Response {
        let registry = self.registry();
        let faults = registry.faults();
        let mut diagnostics = Diagnostics::none();
        if !faults.is_empty() {
            diagnostics.merge(Diagnostics::bug(format!(
                "Schemas that Terraform would refuse: {}.",
                faults.join("; ")
            )));
        }
        let resources = registry.resources.iter();
        let data_sources = registry.data_sources.iter();
        let ephemerals = registry.ephemerals.iter();
        let lists = registry.lists.iter();
        wire::get_provider_schema::Response {
            provider: Some(convert::schema(P::Config::schema())),
            resource_schemas: resources
                .map(|(name, one)| (name.clone(), convert::schema(one.schema())))
                .collect(),
            data_source_schemas: data_sources
                .map(|(name, one)| (name.clone(), convert::schema(one.schema())))
                .collect(),
            diagnostics: convert::diagnostics(diagnostics),
            provider_meta: registry.meta.map(|meta| convert::schema(meta.schema)),
            server_capabilities: Some(CAPABILITIES),
            functions: self.functions(),
            list_resource_schemas: lists
                .map(|(name, one)| (name.clone(), convert::schema(one.schema())))
                .collect(),
            ephemeral_resource_schemas: ephemerals
                .map(|(name, one)| (name.clone(), convert::schema(one.schema())))
                .collect(),
            ..Default::default()
        }
    }

    pub(super) fn functions(&self) -> HashMap<String, wire::Function> {
        let functions = self.registry().functions.iter();
        functions
            .map(|(name, function)| (name.clone(), convert::function(&**function)))
            .collect()
    }

    pub(super) fn resource(&self, name: &str) -> Result<&dyn AnyResource<P>, Diagnostics> {
        self.registry()
            .resources
            .get(name)
            .map(|one| &**one)
            .ok_or_else(|| unknown_type("resource", name))
    }

    pub(super) fn data_source(&self, name: &str) -> Result<&dyn AnyDataSource<P>, Diagnostics> {
        self.registry()
            .data_sources
            .get(name)
            .map(|one| &**one)
            .ok_or_else(|| unknown_type("data source", name))
    }

    pub(super) fn ephemeral(&self, name: &str) -> Result<&dyn AnyEphemeral<P>, Diagnostics> {
        self.registry()
            .ephemerals
            .get(name)
            .map(|one| &**one)
            .ok_or_else(|| unknown_type("ephemeral resource", name))
    }

    pub(super) fn validate_resource(
        &self,
        request: &wire::validate_resource_config::Request,
    ) -> wire::validate_resource_config::Response {
        let check = || {
            let resource = self.resource(&request.type_name)?;
            let config = convert::value(request.config.as_ref(), resource.schema().value_type())?;
            let validate = || resource.validate(&config);
            let mut found = guarded("ValidateResourceConfig", &request.type_name, validate)?;
            let allowed = request
                .client_capabilities
                .is_some_and(|client| client.write_only_attributes_allowed);
            if !allowed {
                refuse_write_only(resource.schema(), &config, &mut found);
            }
            Ok(found.placed(resource.schema()))
        };
        let found = check().unwrap_or_else(|error: Diagnostics| error);
        wire::validate_resource_config::Response {
            diagnostics: convert::diagnostics(found),
        }
    }

    pub(super) fn validate_data(
        &self,
        request: &wire::validate_data_resource_config::Request,
    ) -> wire::validate_data_resource_config::Response {
        let check = || {
            let source = self.data_source(&request.type_name)?;
            let schema = source.schema();
            let config = convert::value(request.config.as_ref(), schema.value_type())?;
            let validate = || source.validate(&config).placed(schema);
            guarded("ValidateDataResourceConfig", &request.type_name, validate)
        };
        let found = check().unwrap_or_else(|error: Diagnostics| error);
        wire::validate_data_resource_config::Response {
            diagnostics: convert::diagnostics(found),
        }
    }

    pub(super) fn validate_ephemeral(
        &self,
        request: &wire::validate_ephemeral_resource_config::Request,
    ) -> wire::validate_ephemeral_resource_config::Response {
        let check = || {
            let ephemeral = self.ephemeral(&request.type_name)?;
            let schema = ephemeral.schema();
            let config = convert::value(request.config.as_ref(), schema.value_type())?;
            let validate = || ephemeral.validate(&config).placed(schema);
            guarded(
                "ValidateEphemeralResourceConfig",
                &request.type_name,
                validate,
            )
        };
        let found = check().unwrap_or_else(|error: Diagnostics| error);
        wire::validate_ephemeral_resource_config::Response {
            diagnostics: convert::diagnostics(found),
        }
    }
}

/// An old client ignores `write_only` and would keep the value in state.
pub(super) fn refuse_write_only(schema: &Schema, config: &Value, found: &mut Diagnostics) {
    for attribute in schema
        .attributes
        .iter()
        .filter(|attribute| attribute.write_only)
    {
        if !config.get(attribute.name).is_null() {
            let sentence = "This version of Terraform would store a write-only value in state.";
            found.merge(
                Diagnostics::error(format!("Cannot use {}", attribute.name), sentence)
                    .hint("Use Terraform or OpenTofu 1.11 or newer.")
                    .at(Path::of(attribute.name)),
            );
        }
    }
}
