//! Serving HTTP the way a simulated service needs it: every call counted, faults applied, connections droppable.
//!
//! axum's own server cannot drop a connection without an answer, and that is exactly what a lost reply looks like, so the accept loop is here.
//! `fault_layer` is for routers with templates; `Meter::measure` is for services that parse paths themselves.

use std::convert::Infallible;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode, Uri, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::calls::Calls;
use crate::clock::Clock;
use crate::fault::{Action, Faults};

/// The template under which calls to no known route are counted.
const NO_ROUTE: &str = "(no such route)";

/// Drops the connection that a request came in on; in the extensions of every request served by `connection`.
#[derive(Clone, Debug)]
pub struct HangUp(CancellationToken);

impl HangUp {
    /// Drops the connection and never returns: the answer is not sent.
    pub async fn now(&self) -> Infallible {
        self.0.cancel();
        std::future::pending().await
    }
}

/// Counts calls of one service and lets faults act on them.
#[derive(Clone)]
pub struct Meter {
    service: &'static str,
    clock: Clock,
    faults: Faults,
    calls: Calls,
}

impl Meter {
    /// `service` is the name in `GET /calls` and the `place` of faults.
    pub fn new(service: &'static str, clock: Clock, faults: Faults, calls: Calls) -> Self {
        Self {
            service,
            clock,
            faults,
            calls,
        }
    }

    /// Counts a call and does `work` for it, unless a fault says otherwise. A delay comes on top of any other fault.
    pub async fn measure(
        &self,
        method: &str,
        template: &str,
        asked: &Uri,
        hang_up: Option<&HangUp>,
        work: impl Future<Output = Response>,
    ) -> Response {
        let asked = asked.path_and_query().map_or("/", PathAndQuery::as_str);
        self.calls.count(self.service, method, template);
        let target = format!("{method} {template}");
        if let Some(Action::Delay { seconds }) = self.faults.take(self.service, &target, |action| {
            matches!(action, Action::Delay { .. })
        }) {
            self.clock.sleep(Duration::from_secs(seconds)).await;
        }
        let action = self.faults.take(self.service, &target, |action| {
            matches!(
                action,
                Action::Status { .. }
                    | Action::LateStatus { .. }
                    | Action::LoseReply
                    | Action::Disconnect
                    | Action::Truncate
                    | Action::Redirect { .. }
            )
        });
        match action {
            Some(Action::Status {
                code,
                body,
                retry_after,
            }) => self.status_reply(code, body, retry_after),
            Some(Action::LateStatus { code }) => {
                drop(work.await);
                self.status_reply(code, None, None)
            }
            Some(Action::Redirect { location }) => redirect(location.as_deref().unwrap_or(asked)),
            Some(Action::Truncate) => truncated(work.await).await,
            Some(Action::Disconnect) => never(hang_up).await,
            Some(Action::LoseReply) => {
                drop(work.await);
                never(hang_up).await
            }
            _ => work.await,
        }
    }

    /// An answer with this status, in the service's words where the fault brings none.
    fn status_reply(&self, code: u16, body: Option<String>, retry_after: Option<u64>) -> Response {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = body.unwrap_or_else(|| match self.service {
            "s3" => crate::s3::fault(status),
            other => error_body(other, status).to_string(),
        });
        let is_json = serde_json::from_str::<serde_json::Value>(&body).is_ok();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let kind = if is_json {
            "application/json"
        } else {
            "text/html"
        };
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Hangs up, or where the server offers no way to (a test that calls the router directly), never answers.
async fn never(hang_up: Option<&HangUp>) -> Response {
    match hang_up {
        Some(hang_up) => match hang_up.now().await {},
        None => std::future::pending().await,
    }
}

/// Half of the body, with the headers of the whole; the length is set anew by the server.
async fn truncated(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    // The services here answer with bodies in memory, so reading one cannot fail.
    let bytes = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    Response::from_parts(parts, Body::from(bytes.slice(..bytes.len() / 2)))
}

/// What the services answer when something between them and their own code fails.
fn error_body(service: &str, status: StatusCode) -> Value {
    let reason = status.canonical_reason().unwrap_or("error");
    match service {
        "vault" => json!({ "errors": [reason] }),
        "infisical" if status == StatusCode::TOO_MANY_REQUESTS => json!({
            "reqId": "req-fault", "statusCode": 429, "message": "Rate limit exceeded. Please try again in 1 minute", "error": "RateLimitExceeded",
        }),
        "infisical" => {
            json!({ "reqId": "req-fault", "statusCode": status.as_u16(), "message": reason, "error": reason.replace(' ', "") })
        }
        _ => json!({ "message": reason }),
    }
}

fn redirect(location: &str) -> Response {
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Puts the meter around all routes of a router, its fallback included.
pub fn fault_layer(router: Router, meter: Meter) -> Router {
    router.layer(middleware::from_fn_with_state(meter, measured))
}

async fn measured(State(meter): State<Meter>, request: Request, next: Next) -> Response {
    let template = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(NO_ROUTE, MatchedPath::as_str)
        .to_owned();
    let hang_up = request.extensions().get::<HangUp>().cloned();
    let method = request.method().as_str().to_owned();
    let asked = request.uri().clone();
    meter
        .measure(
            &method,
            &template,
            &asked,
            hang_up.as_ref(),
            next.run(request),
        )
        .await
}

/// Binds a loopback port; 0 lets the kernel choose.
pub async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Serves a router on a listener until `stop`.
pub fn spawn(listener: TcpListener, router: Router, stop: CancellationToken) {
    tokio::spawn(async move {
        loop {
            // Both arms are cancel-safe: accepting and a token.
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Best effort: without it replies wait for delayed acknowledgements.
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(connection(stream, router.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
}

/// Serves one connection (HTTP/1.1 or 2) until it ends, a fault hangs up, or `stop`.
pub async fn connection<I>(stream: I, router: Router, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let hang_up = HangUp(CancellationToken::new());
    let token = hang_up.0.clone();
    let service =
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (router, hang_up) = (router.clone(), hang_up.clone());
            async move {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(hang_up);
                router.oneshot(request).await
            }
        });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    // All arms are cancel-safe: dropping the connection is what is wanted.
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::debug!(%error, "connection ended early");
        },
        () = token.cancelled() => {}
        () = stop.cancelled() => {}
    }
}
