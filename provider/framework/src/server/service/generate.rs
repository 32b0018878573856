//! GenerateResourceConfig: the configuration that would have made a state.

use strata_proto::tfplugin6 as wire;

use super::Service;
use crate::resource::Provider;
use crate::server::convert;
use crate::{Diagnostics, Value};

impl<P: Provider> Service<P> {
    pub(super) fn generate(
        &self,
        request: &wire::generate_resource_config::Request,
    ) -> wire::generate_resource_config::Response {
        let generate = || {
            let resource = self.resource(&request.type_name)?;
            let of = resource.schema().value_type();
            match convert::value(request.state.as_ref(), of)? {
                Value::Null => Err(Diagnostics::error(
                    format!("Cannot write a configuration for {}", request.type_name),
                    "There is no state to write it from.",
                )),
                state => convert::dynamic(&resource.generate(&state)?, of),
            }
        };
        let (config, found) = match generate() {
            Ok(config) => (Some(config), Diagnostics::none()),
            Err(error) => (None, error),
        };
        wire::generate_resource_config::Response {
            config,
            diagnostics: convert::diagnostics(found),
        }
    }
}
