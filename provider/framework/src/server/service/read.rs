//! What changes nothing: upgrade, read, import, move, data sources.

use strata_proto::tfplugin6 as wire;

use super::Service;
use crate::Diagnostics;
use crate::erased::guarded;
use crate::identity::Moment;
use crate::operation::Outcome;
use crate::resource::{MoveSource, Provider};
use crate::server::convert;

/// State as core stored it.
pub(super) fn raw(state: Option<&wire::RawState>) -> Result<serde_json::Value, Diagnostics> {
    let Some(state) = state.filter(|state| !state.json.is_empty()) else {
        return Err(Diagnostics::error(
            "Cannot read state of Terraform 0.11",
            "The stored state is in the form that Terraform 0.11 wrote.",
        )
        .hint("Remove the object from state and import it again."));
    };
    serde_json::from_slice(&state.json).map_err(|error| {
        Diagnostics::bug(format!("Terraform sent a state that is not JSON: {error}."))
    })
}

impl<P: Provider> Service<P> {
    pub(super) fn upgrade(
        &self,
        request: &wire::upgrade_resource_state::Request,
    ) -> wire::upgrade_resource_state::Response {
        let upgrade = || {
            let resource = self.resource(&request.type_name)?;
            let stored = raw(request.raw_state.as_ref())?;
            let upgrade = || resource.upgrade(request.version, stored);
            let state = guarded("UpgradeResourceState", &request.type_name, upgrade)??;
            convert::dynamic(&state, resource.schema().value_type())
        };
        match upgrade() {
            Ok(state) => wire::upgrade_resource_state::Response {
                upgraded_state: Some(state),
                diagnostics: Vec::new(),
            },
            Err(error) => wire::upgrade_resource_state::Response {
                upgraded_state: None,
                diagnostics: convert::diagnostics(error),
            },
        }
    }

    pub(super) async fn read(
        &self,
        request: wire::read_resource::Request,
    ) -> wire::read_resource::Response {
        let read = async {
            let resource = self.resource(&request.type_name)?;
            let of = resource.schema().value_type();
            let prior = convert::value(request.current_state.as_ref(), of)?;
            let (operation, _) =
                self.operation_in(request.private.clone(), request.provider_meta.as_ref())?;
            let outcome = self
                .run(
                    "ReadResource",
                    &request.type_name,
                    resource.read(operation, prior),
                )
                .await?;
            let Outcome {
                state,
                private,
                mut diagnostics,
            } = outcome;
            let (name, stored) = (&request.type_name, request.current_identity.as_ref());
            let (new_state, new_identity) = match state {
                Some(state) => {
                    let (identity, wrong) = self.identity(name, stored, &state, Moment::Existing);
                    diagnostics.merge(wrong);
                    (Some(convert::dynamic(&state, of)?), identity)
                }
                // Nobody can tell, or it failed: the state stays as it was, byte for byte.
                None => (request.current_state.clone(), stored.cloned()),
            };
            Ok(wire::read_resource::Response {
                new_state,
                new_identity,
                private,
                diagnostics: convert::diagnostics(diagnostics),
                deferred: None,
            })
        };
        match read.await {
            Ok(response) => response,
            Err(error) => {
                let error: Diagnostics = error;
                wire::read_resource::Response {
                    new_state: request.current_state.clone(),
                    new_identity: request.current_identity.clone(),
                    private: request.private.clone(),
                    diagnostics: convert::diagnostics(error),
                    deferred: None,
                }
            }
        }
    }

    pub(super) async fn import(
        &self,
        request: wire::import_resource_state::Request,
    ) -> wire::import_resource_state::Response {
        let import = async {
            let resource = self.resource(&request.type_name)?;
            let name = &request.type_name;
            let Outcome {
                state,
                private,
                diagnostics,
            } = match &request.identity {
                Some(identity) if request.id.is_empty() => {
                    self.import_by_identity(name, identity).await?
                }
                _ if request.id.is_empty() => {
                    let summary = format!("Cannot import {name}");
                    return Err(Diagnostics::error(summary, "The id is empty."));
                }
                _ => {
                    let (operation, _) = self.operation(Vec::new())?;
                    let work = resource.import(operation, request.id.clone());
                    self.run("ImportResourceState", name, work).await?
                }
            };
            let Some(state) = state else {
                return Ok((Vec::new(), diagnostics));
            };
            let identity = match &request.identity {
                None => self.whole_identity(name, &state),
                // The one that was asked for, or the import answered with another object.
                wanted => {
                    let moment = Moment::Existing;
                    let (identity, wrong) = self.identity(name, wanted.as_ref(), &state, moment);
                    wrong.into_result()?;
                    identity
                }
            };
            let imported = wire::import_resource_state::ImportedResource {
                type_name: name.clone(),
                state: Some(convert::dynamic(&state, resource.schema().value_type())?),
                private,
                identity,
            };
            Ok((vec![imported], diagnostics))
        };
        let (imported_resources, diagnostics) =
            import.await.unwrap_or_else(|error| (Vec::new(), error));
        wire::import_resource_state::Response {
            imported_resources,
            diagnostics: convert::diagnostics(diagnostics),
            deferred: None,
        }
    }

    pub(super) fn moved(
        &self,
        request: &wire::move_resource_state::Request,
    ) -> wire::move_resource_state::Response {
        let moved = || {
            let resource = self.resource(&request.target_type_name)?;
            let source = MoveSource {
                provider: request.source_provider_address.clone(),
                resource: request.source_type_name.clone(),
                version: request.source_schema_version,
                state: raw(request.source_state.as_ref())?,
                private: request.source_private.clone(),
                identity: match &request.source_identity {
                    Some(identity) if !identity.json.is_empty() => raw(Some(identity))?,
                    _ => serde_json::Value::Null,
                },
                identity_version: request.source_identity_schema_version,
            };
            let moved = || resource.moved(&source);
            let (state, private) = guarded("MoveResourceState", &request.target_type_name, moved)??;
            let identity = self.whole_identity(&request.target_type_name, &state);
            let state = convert::dynamic(&state, resource.schema().value_type())?;
            Ok(wire::move_resource_state::Response {
                target_state: Some(state),
                diagnostics: Vec::new(),
                target_private: private,
                target_identity: identity,
            })
        };
        match moved() {
            Ok(response) => response,
            Err(error) => wire::move_resource_state::Response {
                diagnostics: convert::diagnostics(error),
                ..Default::default()
            },
        }
    }

    pub(super) async fn read_data(
        &self,
        request: wire::read_data_source::Request,
    ) -> wire::read_data_source::Response {
        let read = async {
            let source = self.data_source(&request.type_name)?;
            let of = source.schema().value_type();
            let config = convert::value(request.config.as_ref(), of)?;
            let (operation, _) = self.operation_in(Vec::new(), request.provider_meta.as_ref())?;
            let outcome = self
                .run(
                    "ReadDataSource",
                    &request.type_name,
                    source.read(operation, config),
                )
                .await?;
            let state = outcome
                .state
                .map(|state| convert::dynamic(&state, of))
                .transpose()?;
            Ok((state, outcome.diagnostics.placed(source.schema())))
        };
        let (state, diagnostics) = read.await.unwrap_or_else(|error| (None, error));
        wire::read_data_source::Response {
            state,
            diagnostics: convert::diagnostics(diagnostics),
            deferred: None,
        }
    }
}
