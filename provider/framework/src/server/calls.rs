//! One TRACE line for every call that arrives, of the provider's and of go-plugin's own services: `tf_rpc` is its name.
//!
//! The lines "Received request" and "Served request" of [`super::service`] say more, but of operations only; which calls a
//! command makes, and in how many processes, is seen here.

use tonic::codegen::http::Request;

/// Notes the call and passes it on.
pub(super) fn noted<B>(request: Request<B>) -> Request<B> {
    let path = request.uri().path();
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    tracing::trace!(tf_rpc = name, "Called");
    request
}
