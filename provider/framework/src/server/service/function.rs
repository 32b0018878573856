//! CallFunction: pure, in a process that may never be configured.

use std::sync::Arc;

use strata_proto::tfplugin6 as wire;

use super::{Service, unknown_type};
use crate::erased::AnyFunction;
use crate::resource::Provider;
use crate::server::convert;
use crate::{FunctionError, Value};

impl<P: Provider> Service<P> {
    pub(super) async fn call(
        &self,
        request: wire::call_function::Request,
    ) -> wire::call_function::Response {
        match self.called(&request).await {
            Ok(result) => wire::call_function::Response {
                result: Some(result),
                error: None,
            },
            Err(FunctionError { text, argument }) => wire::call_function::Response {
                result: None,
                error: Some(wire::FunctionError {
                    // Core ends the sentence itself.
                    text: crate::masked(text.strip_suffix('.').unwrap_or(&text)),
                    function_argument: argument.and_then(|index| i64::try_from(index).ok()),
                }),
            },
        }
    }

    async fn called(
        &self,
        request: &wire::call_function::Request,
    ) -> Result<wire::DynamicValue, FunctionError> {
        let name = &request.name;
        let function = self.registry().functions.get(name).cloned();
        let function =
            function.ok_or_else(|| FunctionError::from(unknown_type("function", name)))?;
        let arguments = arguments(&function, &request.arguments)?;
        let of = function.returns();
        let work = async move { function.call(&arguments) };
        let result = self.run("CallFunction", name, work).await??;
        Ok(convert::dynamic(&result, &of)?)
    }
}

/// The values by their types. Core has counted them; another client may not have.
fn arguments<F: AnyFunction + ?Sized>(
    function: &Arc<F>,
    given: &[wire::DynamicValue],
) -> Result<Vec<Value>, FunctionError> {
    let parameters = function.parameters();
    let variadic = parameters.last().filter(|(_, takes)| takes.variadic);
    let fixed = parameters.len() - usize::from(variadic.is_some());
    if given.len() < fixed || (given.len() > fixed && variadic.is_none()) {
        let more = if variadic.is_some() { " or more" } else { "" };
        let text = format!("Takes {fixed}{more} arguments, not {}.", given.len());
        return Err(FunctionError::new(text));
    }
    let types = parameters.iter().chain(variadic.into_iter().cycle());
    let all = given.iter().zip(types).enumerate();
    all.map(|(index, (argument, (_, takes)))| {
        convert::value(Some(argument), &takes.of).map_err(|found| {
            let error = FunctionError::from(found);
            FunctionError::at(index, error.text)
        })
    })
    .collect()
}
