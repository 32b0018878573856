//! The router: which call is which, and what surrounds all of them.

use std::time::Duration;

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, on};
use http::Method;
use serde_json::Value;

use super::answer::{Refusal, data};
use super::call::Call;
use super::{Proxmox, access, access_routes, cluster, power, storage, task, vm_routes};
use crate::serve::{Meter, fault_layer};

/// A wrong login is answered this much later, in simulated seconds.
const LOGIN_DELAY: u64 = 3;

type Handler = fn(&Proxmox, &mut Call) -> Result<Value, Refusal>;

/// The routes of one path by method.
fn methods(handlers: &[(Method, Handler)]) -> MethodRouter<Proxmox> {
    let mut routes = MethodRouter::new();
    for (method, handler) in handlers {
        let filter = method.clone().try_into().expect("a method of HTTP");
        let handler = *handler;
        routes = routes.merge(on(
            filter,
            async move |State(proxmox): State<Proxmox>, call: Result<Call, Refusal>| {
                let answer = call.and_then(|mut call| handler(&proxmox, &mut call));
                answered(&proxmox, answer).await
            },
        ));
    }
    routes
}

async fn answered(proxmox: &Proxmox, answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(value) => data(&value),
        Err(refusal) => {
            if refusal.is_login() {
                proxmox
                    .0
                    .clock
                    .sleep(Duration::from_secs(LOGIN_DELAY))
                    .await;
            }
            refusal.into_response()
        }
    }
}

async fn no_route(
    State(proxmox): State<Proxmox>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    call: Result<Call, Refusal>,
) -> Response {
    let path = uri.path().trim_start_matches("/api2/json").to_owned();
    let answer = call.and_then(|_| Err(Refusal::no_route(method.as_str(), &path)));
    answered(&proxmox, answer).await
}

/// The whole service with tokens, counting and faults.
pub(super) fn router(proxmox: Proxmox, meter: Meter) -> Router {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const DELETE: Method = Method::DELETE;
    let paths: Vec<(&str, Vec<(Method, Handler)>)> = vec![
        ("/version", vec![(GET, cluster::version)]),
        ("/nodes", vec![(GET, cluster::nodes)]),
        ("/nodes/{node}/status", vec![(GET, cluster::node_status)]),
        (
            "/nodes/{node}/certificates/info",
            vec![(GET, cluster::certificates)],
        ),
        ("/cluster/status", vec![(GET, cluster::status)]),
        ("/cluster/resources", vec![(GET, cluster::resources)]),
        ("/cluster/nextid", vec![(GET, cluster::next_id)]),
        (
            "/pools",
            vec![
                (GET, cluster::pools),
                (POST, cluster::create_pool),
                (PUT, cluster::change_pool),
                (DELETE, cluster::delete_pool),
            ],
        ),
        ("/nodes/{node}/tasks", vec![(GET, task::list)]),
        ("/nodes/{node}/tasks/{upid}", vec![(DELETE, task::stop)]),
        (
            "/nodes/{node}/tasks/{upid}/status",
            vec![(GET, task::status)],
        ),
        ("/nodes/{node}/tasks/{upid}/log", vec![(GET, task::log)]),
        (
            "/nodes/{node}/query-url-metadata",
            vec![(GET, storage::metadata)],
        ),
        ("/nodes/{node}/storage", vec![(GET, storage::list)]),
        (
            "/nodes/{node}/storage/{storage}/content",
            vec![(GET, storage::content)],
        ),
        (
            "/nodes/{node}/storage/{storage}/content/{*volume}",
            vec![(GET, storage::volume), (DELETE, storage::delete)],
        ),
        (
            "/nodes/{node}/storage/{storage}/upload",
            vec![(POST, storage::upload)],
        ),
        (
            "/nodes/{node}/storage/{storage}/download-url",
            vec![(POST, storage::download)],
        ),
        (
            "/nodes/{node}/qemu",
            vec![(GET, vm_routes::list), (POST, vm_routes::create)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}",
            vec![(DELETE, vm_routes::delete)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/config",
            vec![
                (GET, vm_routes::config),
                (PUT, vm_routes::change),
                (POST, vm_routes::change_later),
            ],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/pending",
            vec![(GET, vm_routes::pending)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/resize",
            vec![(PUT, vm_routes::resize)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/clone",
            vec![(POST, vm_routes::clone)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/template",
            vec![(POST, vm_routes::template)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/status/current",
            vec![(GET, power::current)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/status/start",
            vec![(POST, power::start)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/status/stop",
            vec![(POST, power::stop)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/status/shutdown",
            vec![(POST, power::shutdown)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/status/reboot",
            vec![(POST, power::reboot)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/status/reset",
            vec![(POST, power::reset)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/agent/ping",
            vec![(POST, power::ping)],
        ),
        (
            "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces",
            vec![(GET, power::interfaces)],
        ),
        ("/access/permissions", vec![(GET, access::permissions)]),
        (
            "/access/roles",
            vec![
                (GET, access_routes::roles),
                (POST, access_routes::create_role),
            ],
        ),
        (
            "/access/roles/{role}",
            vec![
                (GET, access_routes::role),
                (PUT, access_routes::change_role),
                (DELETE, access_routes::delete_role),
            ],
        ),
        (
            "/access/users",
            vec![
                (GET, access_routes::users),
                (POST, access_routes::create_user),
            ],
        ),
        (
            "/access/users/{user}",
            vec![
                (GET, access_routes::user),
                (PUT, access_routes::change_user),
                (DELETE, access_routes::delete_user),
            ],
        ),
        (
            "/access/users/{user}/token",
            vec![(GET, access_routes::tokens)],
        ),
        (
            "/access/users/{user}/token/{token}",
            vec![
                (GET, access_routes::token),
                (POST, access_routes::create_token),
                (PUT, access_routes::change_token),
                (DELETE, access_routes::delete_token),
            ],
        ),
        (
            "/access/acl",
            vec![(GET, access_routes::acl), (PUT, access_routes::change_acl)],
        ),
    ];
    let routes = paths
        .into_iter()
        .fold(Router::new(), |routes, (path, handlers)| {
            routes.route(&format!("/api2/json{path}"), methods(&handlers))
        });
    let routes = routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .with_state(proxmox);
    fault_layer(routes, meter)
}
