//! The router of the simulated Cloudflare: token check, zones, records, batch.

use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, Request, State as Shared};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::envelope::{Fault, page, single};
use super::filter::{self, Filter};
use super::record::Draft;
use super::{Cloudflare, Zone};
use crate::serve::{Meter, fault_layer};

type Answer = Result<Json<Value>, Fault>;
type Parameters = Pairs<Vec<(String, String)>>;

/// Operations of one batch on the free plan.
const LARGEST_BATCH: usize = 200;

/// The whole service under `/client/v4` with auth, counting and faults.
pub fn router(cloudflare: Cloudflare, meter: Meter) -> Router {
    let records = "/client/v4/zones/{zone}/dns_records";
    let routes = Router::new()
        .route("/client/v4/user/tokens/verify", get(verify))
        .route("/client/v4/zones", get(zones))
        .route("/client/v4/zones/{zone}", get(zone))
        .route(records, get(list).post(create))
        .route(&format!("{records}/batch"), post(batch))
        .route(
            &format!("{records}/{{id}}"),
            get(read).patch(patch).put(put).delete(delete),
        )
        .fallback(async || no_route())
        .method_not_allowed_fallback(async || no_route())
        .layer(middleware::from_fn_with_state(
            cloudflare.clone(),
            authenticate,
        ))
        .with_state(cloudflare);
    fault_layer(routes, meter)
}

/// The lab's token ends 200 days after the lab began, so that something ends.
async fn verify(Shared(cloudflare): Shared<Cloudflare>) -> Answer {
    let clock = &cloudflare.0.clock;
    let age = SignedDuration::try_from(clock.elapsed()).unwrap_or(SignedDuration::MAX);
    let end = clock.now() - age + SignedDuration::from_hours(200 * 24);
    Ok(single(&json!({
        "id": super::stable_id("token"), "status": "active", "expires_on": end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })))
}

fn no_route() -> Fault {
    Fault::bad(
        7003,
        "Could not route to this path, perhaps your object identifier is invalid?",
    )
    .because(7000, "No route for that URI")
}

async fn authenticate(
    Shared(cloudflare): Shared<Cloudflare>,
    request: Request,
    next: Next,
) -> Response {
    let header = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    match header.map(|value| value.strip_prefix("Bearer ")) {
        Some(Some(token)) if token == cloudflare.0.token => next.run(request).await,
        Some(None) => Fault::bad(6003, "Invalid request headers")
            .because(6111, "Invalid format for Authorization header")
            .into_response(),
        _ => Fault::new(StatusCode::UNAUTHORIZED, 10_000, "Authentication error").into_response(),
    }
}

fn parse_body(body: &Bytes) -> Result<Value, Fault> {
    serde_json::from_slice(body)
        .map_err(|error| Fault::bad(9207, format!("Request body is invalid: {error}")))
}

impl Cloudflare {
    /// Runs `work` on a zone.
    fn with_zone<T>(
        &self,
        id: &str,
        work: impl FnOnce(&mut Zone) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut zones = self.0.zones.lock().expect("no panic while held");
        let zone = zones.iter_mut().find(|zone| zone.id == id);
        work(zone.ok_or_else(|| {
            Fault::new(StatusCode::NOT_FOUND, 7003, no_route().to_string())
                .because(7000, "No route for that URI")
        })?)
    }
}

async fn zones(Shared(cloudflare): Shared<Cloudflare>, Pairs(pairs): Parameters) -> Answer {
    let (mut page_number, mut per_page) = (1, 20);
    let mut zones: Vec<Value> = cloudflare
        .0
        .zones
        .lock()
        .expect("no panic while held")
        .iter()
        .map(Zone::view)
        .collect();
    for (key, value) in pairs {
        match key.as_str() {
            "page" => page_number = filter::number(&key, &value, 1, usize::MAX)?,
            "per_page" => per_page = filter::number(&key, &value, 5, 50)?,
            "name" => {
                zones
                    .retain(|zone| name_matches(zone["name"].as_str().unwrap_or_default(), &value));
            }
            "status" => zones.retain(|zone| zone["status"] == value.as_str()),
            "account.id" => zones.retain(|zone| zone["account"]["id"] == value.as_str()),
            "account.name" => zones.retain(|zone| {
                name_matches(zone["account"]["name"].as_str().unwrap_or_default(), &value)
            }),
            "match" if value == "all" => {}
            "order" if value == "name" => zones.sort_by_key(|zone| zone["name"].to_string()),
            "direction" if value == "asc" => {}
            _ => return Err(Fault::unknown_to_lab(&format!("the query {key}={value}"))),
        }
    }
    Ok(page(zones, page_number, per_page))
}

/// `name` may carry an operator; plain means equal.
fn name_matches(name: &str, filter: &str) -> bool {
    match filter.split_once(':') {
        Some(("contains", part)) => name.contains(part),
        Some(("starts_with", part)) => name.starts_with(part),
        Some(("ends_with", part)) => name.ends_with(part),
        Some(("not_equal", other)) => name != other,
        Some(("equal", other)) => name == other,
        _ => name == filter,
    }
}

async fn zone(Shared(cloudflare): Shared<Cloudflare>, Path(id): Path<String>) -> Answer {
    cloudflare.with_zone(&id, |zone| Ok(single(&zone.view())))
}

async fn list(
    Shared(cloudflare): Shared<Cloudflare>,
    Path(id): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    let filter = Filter::parse(pairs)?;
    cloudflare.with_zone(&id, |zone| {
        let records = zone.records.iter().map(super::Record::view).collect();
        Ok(page(filter.apply(records), filter.page, filter.per_page))
    })
}

async fn create(
    Shared(cloudflare): Shared<Cloudflare>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let draft = Draft::parse(parse_body(&body)?)?;
    let now = cloudflare.0.clock.now();
    cloudflare.with_zone(&id, |zone| {
        zone.create(draft, now).map(|record| single(&record))
    })
}

async fn read(
    Shared(cloudflare): Shared<Cloudflare>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    cloudflare.with_zone(&zone, |zone| zone.read(&id).map(|record| single(&record)))
}

async fn patch(
    Shared(cloudflare): Shared<Cloudflare>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    change(&cloudflare, &zone, &id, &body, false)
}

async fn put(
    Shared(cloudflare): Shared<Cloudflare>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    change(&cloudflare, &zone, &id, &body, true)
}

fn change(cloudflare: &Cloudflare, zone: &str, id: &str, body: &Bytes, fresh: bool) -> Answer {
    let draft = Draft::parse(parse_body(body)?)?;
    let now = cloudflare.0.clock.now();
    cloudflare.with_zone(zone, |zone| {
        zone.change(id, draft, fresh, now)
            .map(|record| single(&record))
    })
}

async fn delete(
    Shared(cloudflare): Shared<Cloudflare>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    cloudflare.with_zone(&zone, |zone| {
        zone.delete(&id).map(|_| single(&json!({ "id": id })))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(default)]
    deletes: Vec<Value>,
    #[serde(default)]
    patches: Vec<Value>,
    #[serde(default)]
    puts: Vec<Value>,
    #[serde(default)]
    posts: Vec<Value>,
}

/// Deletes, patches, puts, posts, in that order, all or nothing.
async fn batch(
    Shared(cloudflare): Shared<Cloudflare>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let batch: Batch = serde_json::from_value(parse_body(&body)?)
        .map_err(|error| Fault::bad(9207, format!("Request body is invalid: {error}")))?;
    if batch.deletes.len() + batch.patches.len() + batch.puts.len() + batch.posts.len()
        > LARGEST_BATCH
    {
        return Err(Fault::bad(
            81_059,
            format!("A batch may have at most {LARGEST_BATCH} operations."),
        ));
    }
    let now = cloudflare.0.clock.now();
    let drafts = |items: Vec<Value>| {
        items
            .into_iter()
            .map(Draft::parse)
            .collect::<Result<Vec<_>, _>>()
    };
    let (deletes, patches, puts, posts) = (
        drafts(batch.deletes)?,
        drafts(batch.patches)?,
        drafts(batch.puts)?,
        drafts(batch.posts)?,
    );
    cloudflare.with_zone(&id, |zone| {
        let mut copy = zone.clone();
        let deletes = deletes
            .iter()
            .map(|item| copy.delete(item.id()?))
            .collect::<Result<Vec<_>, _>>()?;
        let mut changed = |items: Vec<Draft>, fresh| {
            let change = |item: Draft| {
                let id = item.id()?.to_owned();
                copy.change(&id, item, fresh, now)
            };
            items
                .into_iter()
                .map(change)
                .collect::<Result<Vec<_>, Fault>>()
        };
        let patches = changed(patches, false)?;
        let puts = changed(puts, true)?;
        let posts = posts
            .into_iter()
            .map(|item| copy.create(item, now))
            .collect::<Result<Vec<_>, _>>()?;
        *zone = copy;
        Ok(single(
            &json!({ "deletes": deletes, "patches": patches, "puts": puts, "posts": posts }),
        ))
    })
}
