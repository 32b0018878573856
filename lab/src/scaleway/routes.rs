//! The router of the simulated Scaleway: authentication, headers on every answer, and the catalogue's routes.

use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, Request, State as Shared};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::Offer;
use super::error::Refusal;
use super::query::Query;
use super::{
    Scaleway, State, ZONES, api_key_routes, bmc, key_routes, option, order_routes, partition,
    server_routes, vpc_routes,
};
use crate::serve::{Meter, fault_layer};

pub(super) type Answer = Result<Json<Value>, Refusal>;
pub(super) type Parameters = Pairs<Vec<(String, String)>>;

/// Machines behind the stock words.
const AVAILABLE: u32 = 20;
const LOW: u32 = 3;

/// The whole service with auth, counting, faults and headers.
pub fn router(scaleway: Scaleway, meter: Meter) -> Router {
    let zone = "/baremetal/v1/zones/{zone}";
    let routes = Router::new()
        .route("/iam/v1alpha1/api-keys/{key}", get(api_key_routes::read))
        .route(
            "/iam/v1alpha1/ssh-keys",
            get(key_routes::list).post(key_routes::create),
        )
        .route(
            "/iam/v1alpha1/ssh-keys/{id}",
            get(key_routes::read)
                .patch(key_routes::update)
                .delete(key_routes::delete),
        )
        .route(&format!("{zone}/offers"), get(offers))
        .route(&format!("{zone}/offers/{{id}}"), get(offer))
        .route(&format!("{zone}/os"), get(systems))
        .route(&format!("{zone}/os/{{id}}"), get(system))
        .route(&format!("{zone}/options"), get(options))
        .route(&format!("{zone}/options/{{id}}"), get(one_option))
        .route(
            &format!("{zone}/partitioning-schemas/default"),
            get(partition::default),
        )
        .route(
            &format!("{zone}/servers"),
            get(server_routes::list).post(order_routes::create),
        )
        .route(
            &format!("{zone}/servers/{{id}}"),
            get(server_routes::read)
                .patch(server_routes::update)
                .delete(server_routes::delete),
        )
        .route(
            &format!("{zone}/servers/{{id}}/install"),
            post(order_routes::install),
        )
        .route(
            &format!("{zone}/servers/{{id}}/start"),
            post(server_routes::start),
        )
        .route(
            &format!("{zone}/servers/{{id}}/stop"),
            post(server_routes::stop),
        )
        .route(
            &format!("{zone}/servers/{{id}}/reboot"),
            post(server_routes::reboot),
        )
        .route(
            &format!("{zone}/partitioning-schemas/validate"),
            post(partition::validate),
        )
        .route(
            &format!("{zone}/servers/{{id}}/migrate-offer-monthly"),
            post(server_routes::migrate),
        )
        .route(
            &format!("{zone}/servers/{{id}}/ips/{{ip}}"),
            patch(server_routes::set_reverse),
        )
        .route(
            &format!("{zone}/servers/{{id}}/options/{{option}}"),
            post(option::add).delete(option::remove),
        )
        .route(
            &format!("{zone}/servers/{{id}}/bmc-access"),
            get(bmc::read).post(bmc::start).delete(bmc::stop),
        )
        .merge(private_networks())
        .fallback(async |request: Request| Refusal::no_route(request.uri().path()))
        .method_not_allowed_fallback(async |request: Request| {
            Refusal::no_route(&format!("{} {}", request.method(), request.uri().path()))
        })
        .layer(middleware::from_fn_with_state(
            scaleway.clone(),
            authenticate,
        ))
        .with_state(scaleway);
    fault_layer(routes, meter).layer(middleware::from_fn(gateway_headers))
}

/// Private networks: three products of one purpose.
fn private_networks() -> Router<Scaleway> {
    let servers = "/baremetal/v3/zones/{zone}/servers/{id}/private-networks";
    let networks = "/vpc/v2/regions/{region}/private-networks";
    let addresses = "/ipam/v1/regions/{region}/ips";
    Router::new()
        .route(networks, get(vpc_routes::networks).post(vpc_routes::make))
        .route(
            &format!("{networks}/{{id}}"),
            get(vpc_routes::network).delete(vpc_routes::unmake),
        )
        .route(
            addresses,
            get(vpc_routes::addresses).post(vpc_routes::reserve),
        )
        .route(&format!("{addresses}/{{id}}"), delete(vpc_routes::release))
        .route(servers, put(vpc_routes::replace).post(vpc_routes::attach))
        .route(
            &format!("{servers}/{{network}}"),
            delete(vpc_routes::detach),
        )
        .route(
            "/baremetal/v3/zones/{zone}/server-private-networks",
            get(vpc_routes::attachments),
        )
}

async fn authenticate(
    Shared(scaleway): Shared<Scaleway>,
    request: Request,
    next: Next,
) -> Response {
    let token = request
        .headers()
        .get("x-auth-token")
        .and_then(|value| value.to_str().ok());
    match token {
        Some(token) if token == scaleway.0.credentials.secret_key => next.run(request).await,
        Some(_) => Refusal::unauthenticated("not_found").into_response(),
        None => Refusal::unauthenticated("invalid_argument").into_response(),
    }
}

/// What the gateway in front of every product adds.
async fn gateway_headers(request: Request, next: Next) -> Response {
    let zone = request
        .uri()
        .path()
        .split('/')
        .nth(4)
        .filter(|zone| ZONES.contains(zone))
        .unwrap_or("fr-par-1")
        .to_owned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let id = Uuid::new_v4().to_string();
    headers.insert(
        "x-request-id",
        HeaderValue::from_str(&id).expect("a UUID is a header value"),
    );
    let server = format!("Scaleway API Gateway ({zone};edge01)");
    headers.insert(
        header::SERVER,
        HeaderValue::from_str(&server).expect("zones are header values"),
    );
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    response
}

/// 204 as Scaleway sends it; the content type comes with the gateway's headers.
pub(super) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Parses a body; an empty one is `{}`.
pub(super) fn parse_body<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let bytes: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        let field = text.split('`').nth(1).unwrap_or("body");
        if text.starts_with("unknown field") {
            Refusal::unknown_to_lab(field, &format!("this body: {text}"))
        } else if text.starts_with("missing field") {
            Refusal::invalid(field, "required", &text)
        } else {
            Refusal::invalid("body", "format", &text)
        }
    })
}

/// Refuses zones that Elastic Metal does not have.
pub(super) fn known_zone(zone: &str) -> Result<(), Refusal> {
    if ZONES.contains(&zone) {
        Ok(())
    } else {
        Err(Refusal::not_found("zone", zone))
    }
}

impl State {
    /// Machines left of an offer in a zone.
    pub(super) fn stock(&mut self, zone: &str, offer: &Offer) -> &mut u32 {
        let start = match offer.recorded_stock.as_str() {
            "empty" => 0,
            "low" => LOW,
            _ => AVAILABLE,
        };
        self.stock
            .entry((zone.to_owned(), offer.id.clone()))
            .or_insert(start)
    }

    fn offer_view(&mut self, zone: &str, offer: &Offer) -> Value {
        let word = match *self.stock(zone, offer) {
            0 => "empty",
            1..=5 => "low",
            _ => "available",
        };
        offer.view(zone, word, &mut self.random)
    }
}

async fn offers(
    Shared(scaleway): Shared<Scaleway>,
    Path(zone): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    known_zone(&zone)?;
    let query = Query::parse(pairs, &["name", "subscription_period", "order_by"])?;
    // Unknown or absent returns only hourly offers.
    let period = query.one_of(
        "subscription_period",
        &["hourly", "monthly", "unknown_subscription_period"],
    )?;
    let monthly = period == Some("monthly");
    let name = query.one("name").unwrap_or_default();
    let wanted = scaleway
        .0
        .catalogue
        .offers
        .iter()
        .filter(|offer| offer.monthly == monthly && offer.name.contains(name));
    let (page, total) = query.page(wanted.collect(), None)?;
    let mut state = scaleway.settled();
    let offers: Vec<Value> = page
        .into_iter()
        .map(|offer| state.offer_view(&zone, offer))
        .collect();
    Ok(Json(json!({ "offers": offers, "total_count": total })))
}

async fn offer(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    known_zone(&zone)?;
    // Monthly ids are only found in the list.
    let offer = scaleway
        .0
        .catalogue
        .offer(&id)
        .filter(|offer| !offer.monthly)
        .ok_or_else(|| Refusal::not_found("offer", &id))?;
    Ok(Json(scaleway.settled().offer_view(&zone, offer)))
}

async fn systems(
    Shared(scaleway): Shared<Scaleway>,
    Path(zone): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    known_zone(&zone)?;
    let query = Query::parse(pairs, &["offer_id", "order_by"])?;
    let catalogue = &scaleway.0.catalogue;
    let excluded = query
        .one("offer_id")
        .and_then(|id| catalogue.offer(id))
        .map(|offer| offer.incompatible_os_ids.as_slice());
    let wanted = catalogue
        .systems
        .iter()
        .filter(|system| !excluded.unwrap_or_default().contains(&system.id));
    let (page, total) = query.page(wanted.map(|system| system.view(&zone)).collect(), None)?;
    Ok(Json(json!({ "os": page, "total_count": total })))
}

async fn system(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    known_zone(&zone)?;
    let system = scaleway
        .0
        .catalogue
        .system(&id)
        .ok_or_else(|| Refusal::not_found("os", &id))?;
    Ok(Json(system.view(&zone)))
}

async fn options(
    Shared(scaleway): Shared<Scaleway>,
    Path(zone): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    known_zone(&zone)?;
    let query = Query::parse(pairs, &["offer_id", "name", "order_by"])?;
    let mut options = scaleway.0.catalogue.options(&zone, query.one("offer_id"));
    let name = query.one("name").unwrap_or_default();
    options.retain(|option| option["name"].as_str().unwrap_or_default().contains(name));
    let (page, total) = query.page(options, None)?;
    Ok(Json(json!({ "options": page, "total_count": total })))
}

async fn one_option(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    known_zone(&zone)?;
    let options = scaleway.0.catalogue.options(&zone, None);
    let option = options
        .into_iter()
        .find(|option| option["id"] == id.as_str());
    option
        .map(Json)
        .ok_or_else(|| Refusal::not_found("option", &id))
}
