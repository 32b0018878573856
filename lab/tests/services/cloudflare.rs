//! Cloudflare's records: exact filters, conflicts by number, batches, and what names resolve to.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::lab::Bench;

async fn records(bench: &Bench) -> String {
    let (status, zones) = bench
        .cloudflare(Method::GET, "/zones?name=strata.test", None)
        .await;
    assert_eq!(
        (status, &zones["result_info"]["total_count"]),
        (StatusCode::OK, &json!(1))
    );
    format!(
        "/zones/{}/dns_records",
        zones["result"][0]["id"].as_str().unwrap()
    )
}

fn record(kind: &str, name: &str, content: &str) -> Value {
    json!({ "type": kind, "name": name, "content": content, "ttl": 60, "comment": "strata:owner:api" })
}

fn code(answer: &(StatusCode, Value)) -> (StatusCode, u64) {
    (answer.0, answer.1["errors"][0]["code"].as_u64().unwrap())
}

#[tokio::test]
async fn conflicts_have_their_numbers() {
    let bench = Bench::start().await;
    let path = records(&bench).await;
    let post = async |record: Value| bench.cloudflare(Method::POST, &path, Some(record)).await;
    assert_eq!(
        post(record("A", "API.strata.test.", "192.0.2.11")).await.1["result"]["name"],
        "api.strata.test"
    );
    assert_eq!(
        post(record("A", "api", "192.0.2.12")).await.0,
        StatusCode::OK,
        "another value of the same name, relative"
    );
    let bad = StatusCode::BAD_REQUEST;
    assert_eq!(
        code(&post(record("A", "api.strata.test", "192.0.2.11")).await),
        (bad, 81_058)
    );
    assert_eq!(
        code(&post(record("CNAME", "api.strata.test", "x.strata.test")).await),
        (bad, 81_053)
    );
    post(record("CNAME", "www.strata.test", "api.strata.test")).await;
    assert_eq!(
        code(&post(record("AAAA", "www.strata.test", "2001:db8:1::b")).await),
        (bad, 81_054)
    );
    assert_eq!(
        code(&post(record("A", "v6.strata.test", "2001:db8:1::b")).await),
        (bad, 9005)
    );
    let missing = format!("{path}/{}", "0".repeat(32));
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let body = (method == Method::PATCH).then(|| json!({ "ttl": 1 }));
        assert_eq!(
            code(&bench.cloudflare(method, &missing, body).await),
            (StatusCode::NOT_FOUND, 81_044)
        );
    }
    assert_eq!(
        code(
            &bench
                .cloudflare(Method::GET, "/zones/none/dns_records", None)
                .await
        ),
        (StatusCode::NOT_FOUND, 7003)
    );
}

#[tokio::test]
async fn filters_are_exact_and_pages_are_cut() {
    let bench = Bench::start().await;
    let path = records(&bench).await;
    for name in ["node-1", "node-10", "node-11"] {
        bench
            .cloudflare(
                Method::POST,
                &path,
                Some(record("A", &format!("{name}.strata.test"), "192.0.2.11")),
            )
            .await;
    }
    let count = async |query: &str| {
        bench
            .cloudflare(Method::GET, &format!("{path}?{query}"), None)
            .await
            .1["result_info"]["total_count"]
            .clone()
    };
    assert_eq!(count("name=node-1.strata.test").await, 1);
    assert_eq!(count("name.exact=node-1.strata.test&type=AAAA").await, 0);
    assert_eq!(count("name.contains=node-1").await, 3);
    assert_eq!(
        count("content=192.0.2.11&comment.startswith=strata:").await,
        3
    );
    let (_, page) = bench
        .cloudflare(Method::GET, &format!("{path}?page=2&per_page=2"), None)
        .await;
    assert_eq!(
        (
            page["result"].as_array().unwrap().len(),
            &page["result_info"]["total_pages"]
        ),
        (1, &json!(2))
    );
}

#[tokio::test]
async fn patch_keeps_and_put_forgets() {
    let bench = Bench::start().await;
    let path = records(&bench).await;
    let (_, created) = bench
        .cloudflare(
            Method::POST,
            &path,
            Some(record("A", "a.strata.test", "192.0.2.11")),
        )
        .await;
    let one = format!("{path}/{}", created["result"]["id"].as_str().unwrap());
    let (_, patched) = bench
        .cloudflare(
            Method::PATCH,
            &one,
            Some(json!({ "content": "192.0.2.12" })),
        )
        .await;
    assert_eq!(
        (&patched["result"]["comment"], &patched["result"]["ttl"]),
        (&json!("strata:owner:api"), &json!(60))
    );
    let (_, put) = bench.cloudflare(Method::PUT, &one, Some(json!({ "type": "A", "name": "a", "content": "192.0.2.13", "proxied": true, "ttl": 60 }))).await;
    assert_eq!(
        (&put["result"]["comment"], &put["result"]["ttl"]),
        (&Value::Null, &json!(1)),
        "proxied records read back as automatic"
    );
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let bench = Bench::start().await;
    let path = records(&bench).await;
    let (_, old) = bench
        .cloudflare(
            Method::POST,
            &path,
            Some(record("A", "a.strata.test", "192.0.2.11")),
        )
        .await;
    let delete = json!([{ "id": old["result"]["id"] }]);
    let bad = json!({ "deletes": delete, "posts": [record("A", "b", "192.0.2.12"), record("A", "b", "192.0.2.12")] });
    assert_eq!(
        code(
            &bench
                .cloudflare(Method::POST, &format!("{path}/batch"), Some(bad))
                .await
        ),
        (StatusCode::BAD_REQUEST, 81_058)
    );
    assert_eq!(bench.lab.network().resolve("a.strata.test").len(), 1);
    let good = json!({ "deletes": delete, "posts": [record("A", "a", "192.0.2.11"), record("A", "a", "192.0.2.12")] });
    assert_eq!(
        bench
            .cloudflare(Method::POST, &format!("{path}/batch"), Some(good))
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(bench.lab.network().resolve("a.strata.test").len(), 2);
}

#[tokio::test]
async fn names_resolve_through_aliases_and_to_nothing_else() {
    let bench = Bench::start().await;
    let path = records(&bench).await;
    bench
        .cloudflare(
            Method::POST,
            &path,
            Some(record("AAAA", "api", "2001:db8:1::b")),
        )
        .await;
    bench
        .cloudflare(
            Method::POST,
            &path,
            Some(record("CNAME", "www", "api.strata.test")),
        )
        .await;
    assert_eq!(
        bench.lab.network().resolve("WWW.strata.test."),
        vec!["2001:db8:1::b".parse::<std::net::IpAddr>().unwrap()]
    );
    assert!(bench.lab.network().resolve("localhost").is_empty());
}

#[tokio::test]
async fn strangers_are_kept_out() {
    let bench = Bench::start().await;
    let url = format!("{}/zones", bench.env("CLOUDFLARE_BASE_URL"));
    for (value, status) in [
        ("Bearer wrong", StatusCode::UNAUTHORIZED),
        ("wrong", StatusCode::BAD_REQUEST),
    ] {
        let response = bench.raw(&url, &[("authorization", value)]).await;
        assert_eq!(response.status, status);
        assert!(response.text.contains("\"success\":false"));
    }
}
