//! IAM api-keys, as far as a key asks about itself: <https://www.scaleway.com/en/developers/api/iam/#path-api-keys-get-an-api-key>

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State as Shared};
use serde_json::json;

use super::Scaleway;
use super::error::Refusal;
use super::routes::Answer;

/// The lab's key ends 300 days after the lab began, so that something ends.
const LIFE: Duration = Duration::from_hours(300 * 24);

pub(super) async fn read(Shared(scaleway): Shared<Scaleway>, Path(key): Path<String>) -> Answer {
    let credentials = &scaleway.0.credentials;
    if key != credentials.access_key {
        return Err(Refusal::not_found("api_key", &key));
    }
    let time = |at| format!("{:.6}", scaleway.time_of(at));
    let begin = time(Duration::ZERO);
    Ok(Json(json!({
        "access_key": key, "secret_key": null, "application_id": credentials.project_id, "description": "Strata lab",
        "created_at": begin, "updated_at": begin, "expires_at": time(LIFE), "default_project_id": credentials.project_id,
        "editable": true, "deletable": true, "managed": false, "creation_ip": "",
    })))
}
