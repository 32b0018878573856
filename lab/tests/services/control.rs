//! The control API: what it shows, what it refuses, and changes behind everyone's back.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::lab::Bench;

#[tokio::test]
async fn calls_are_counted_by_template_and_looking_is_not() {
    let bench = Bench::start().await;
    bench
        .scaleway(Method::GET, "/baremetal/v1/zones/fr-par-1/os", None)
        .await;
    bench
        .scaleway(Method::GET, "/baremetal/v1/zones/fr-par-2/os", None)
        .await;
    bench
        .scaleway(Method::GET, "/vpc/v2/regions/fr-par/vpcs", None)
        .await;
    bench.cloudflare(Method::GET, "/zones", None).await;
    bench.control(Method::GET, "/estate", None).await;
    let expected = json!({
        "cloudflare GET /client/v4/zones": 1,
        "scaleway GET (no such route)": 1,
        "scaleway GET /baremetal/v1/zones/{zone}/os": 2,
    });
    assert_eq!(bench.calls().await, expected);
    bench.control(Method::DELETE, "/calls", None).await;
    assert_eq!(bench.calls().await, json!({}));
}

#[tokio::test]
async fn a_fault_acts_as_often_as_it_says() {
    let bench = Bench::start().await;
    let action = json!({ "status": { "code": 429, "retry_after": 3 } });
    bench.fault(json!({ "place": "scaleway", "target": "GET /baremetal/v1/zones/*/os", "action": action, "times": 2 })).await;
    let get = async || {
        bench
            .scaleway(Method::GET, "/baremetal/v1/zones/fr-par-2/os", None)
            .await
            .0
    };
    assert_eq!(
        [get().await, get().await, get().await],
        [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::OK
        ]
    );
    assert_eq!(
        bench.control(Method::GET, "/faults", None).await.1,
        json!([])
    );
    bench.fault(json!([{ "place": "cloudflare", "action": { "status": { "code": 503, "body": "<html>" } } }])).await;
    assert_eq!(
        bench.cloudflare(Method::GET, "/zones", None).await,
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Value::String("<html>".into())
        )
    );
    bench.control(Method::DELETE, "/faults", None).await;
    assert_eq!(
        bench.cloudflare(Method::GET, "/zones", None).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_gateway_may_give_up_on_work_that_is_done() {
    let bench = Bench::start().await;
    let action = json!({ "late_status": { "code": 502 } });
    bench.fault(json!({ "place": "scaleway", "target": "POST /iam/v1alpha1/ssh-keys", "action": action, "times": 1 })).await;
    bench.fault(json!({ "place": "scaleway", "target": "GET /iam/v1alpha1/ssh-keys", "action": "truncate", "times": 1 })).await;
    let key = json!({ "name": "operator", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM7HUxRyQtB2rnlhQUcbDGCZcTJg7OvoznOiyC9W6IxH" });
    let (status, _) = bench
        .scaleway(Method::POST, "/iam/v1alpha1/ssh-keys", Some(key))
        .await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let list = async || {
        bench
            .scaleway(Method::GET, "/iam/v1alpha1/ssh-keys", None)
            .await
            .1
    };
    assert!(list().await.is_string(), "half of a body is no JSON");
    assert_eq!(list().await["total_count"], 1);
}

#[tokio::test]
async fn a_delay_ends_with_simulated_time() {
    let bench = Bench::start().await;
    bench
        .fault(json!({ "place": "cloudflare", "action": { "delay": { "seconds": 3600 } } }))
        .await;
    let (answer, ()) = tokio::join!(bench.cloudflare(Method::GET, "/zones", None), async {
        while bench.calls().await == json!({}) {}
        bench.advance(3600).await;
    });
    assert_eq!(answer.0, StatusCode::OK);
}

#[tokio::test]
async fn wrong_words_are_refused_with_the_right_ones() {
    let bench = Bench::start().await;
    let wrong = [
        (
            "/faults",
            json!({ "place": "scaleway", "action": "explode" }),
            "out_of_stock",
        ),
        (
            "/faults",
            json!({ "place": "heroku", "action": "disconnect" }),
            "kubernetes",
        ),
        (
            "/estate",
            json!({ "delete_everything": "now" }),
            "delete_server",
        ),
        (
            "/estate",
            json!({ "open_port": { "node": "cp-1", "door": 22 } }),
            "port",
        ),
        ("/clock/advance", json!({ "seconds": -1 }), "forward"),
        ("/probe", json!({ "to": "192.0.2.11" }), "port"),
    ];
    for (path, body, names) in wrong {
        let (status, answer) = bench.control(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(
            answer["error"].as_str().unwrap().contains(names),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn the_estate_changes_only_when_something_changes() {
    let bench = Bench::start().await;
    let offers = bench
        .scaleway(Method::GET, "/baremetal/v1/zones/fr-par-2/offers", None)
        .await
        .1;
    let order = json!({ "offer_id": offers["offers"][0]["id"], "project_id": bench.env("SCW_DEFAULT_PROJECT_ID"), "name": "bare", "tags": [] });
    let (_, server) = bench
        .scaleway(
            Method::POST,
            "/baremetal/v1/zones/fr-par-2/servers",
            Some(order),
        )
        .await;
    bench.advance(100).await;
    let estate = async || bench.control(Method::GET, "/estate", None).await.1;
    let before = estate().await;
    assert_eq!(
        (
            &before["servers"][0]["status"],
            &before["servers"][0]["ips"]
        ),
        (&json!("ready"), &json!(["192.0.2.11", "2001:db8:1::b"]))
    );
    bench.advance(100_000).await;
    assert_eq!(estate().await.to_string(), before.to_string());

    let change = async |body: Value| bench.control(Method::POST, "/estate", Some(body)).await.0;
    assert_eq!(
        change(json!({ "add_tag": { "server": "bare", "tag": "foreign" } })).await,
        StatusCode::OK
    );
    assert_eq!(change(json!({ "add_record": { "type": "A", "name": "x.strata.test", "content": "192.0.2.11" } })).await, StatusCode::OK);
    assert_eq!(change(json!({ "add_record": { "type": "A", "name": "x.elsewhere.test", "content": "192.0.2.11" } })).await, StatusCode::BAD_REQUEST);
    let changed = estate().await;
    assert_eq!(
        (
            &changed["servers"][0]["tags"],
            changed["dns_records"].as_array().unwrap().len()
        ),
        (&json!(["foreign"]), 1)
    );
    assert_eq!(
        change(json!({ "delete_record": { "name": "x.strata.test", "type": "A" } })).await,
        StatusCode::OK
    );
    assert_eq!(
        change(json!({ "delete_record": { "name": "x.strata.test", "type": "A" } })).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        change(json!({ "delete_server": server["id"] })).await,
        StatusCode::OK
    );
    // Nobody wiped its disks, which came with what somebody else had written.
    let machine = &before["machines"][0];
    let left =
        json!({ "name": "bare", "server_id": machine["server_id"], "disks": machine["disks"] });
    assert_eq!(
        estate().await,
        json!({
            "servers": [], "ssh_keys": [], "dns_records": [], "machines": [], "clusters": before["clusters"],
            "talos": before["talos"], "proxmox": before["proxmox"], "infisical": { "folders": [], "secrets": [] }, "vault": [],
            "left_behind": [left], "s3": before["s3"], "headscale": before["headscale"],
        })
    );
}
