//! Vault's key/value engine, version 2, and what stands around it: tokens, policies, namespaces, and the ways it is not available.

use http::StatusCode;
use serde_json::{Value, json};

use crate::lab::Bench;

const OK: StatusCode = StatusCode::OK;
const DONE: StatusCode = StatusCode::NO_CONTENT;
const BAD: StatusCode = StatusCode::BAD_REQUEST;
const GONE: StatusCode = StatusCode::NOT_FOUND;
const DENIED: StatusCode = StatusCode::FORBIDDEN;

/// A write with or without check-and-set: the version, or what it was refused with.
async fn write(bench: &Bench, path: &str, value: &str, cas: Option<Value>) -> Result<u64, String> {
    let mut body = json!({ "data": { "value": value } });
    if let Some(cas) = cas {
        body["options"] = json!({ "cas": cas });
    }
    let (status, answer) = bench.vault("POST", path, Some(body)).await;
    match status {
        OK => Ok(answer["data"]["version"].as_u64().unwrap()),
        _ => Err(answer["errors"][0].as_str().unwrap().to_owned()),
    }
}

#[tokio::test]
async fn check_and_set_compares_with_the_current_version() {
    let bench = Bench::start().await;
    let path = "secret/data/clusters/home/claim";
    let mismatch = "check-and-set parameter did not match the current version";
    for (cas, expected) in [
        (Some(json!(1)), Err(mismatch)),
        (Some(json!(0)), Ok(1)),
        (Some(json!(0)), Err(mismatch)),
        (Some(json!("1")), Ok(2)),
        (None, Ok(3)),
        (
            Some(json!("x")),
            Err("error parsing check-and-set parameter"),
        ),
    ] {
        let written = write(&bench, path, "v", cas.clone()).await;
        assert_eq!(written, expected.map_err(str::to_owned), "{cas:?}");
    }
    let (_, none) = bench.vault("POST", path, Some(json!({}))).await;
    assert_eq!(none["errors"][0], "no data provided");
    bench
        .vault(
            "POST",
            "secret/config",
            Some(json!({ "cas_required": true })),
        )
        .await;
    let required = "check-and-set parameter required for this call";
    assert_eq!(write(&bench, path, "v", None).await, Err(required.into()));
}

#[tokio::test]
async fn a_deleted_version_is_404_with_a_body_and_keeps_its_number() {
    let bench = Bench::start().await;
    let path = "secret/data/a/b";
    let (status, never) = bench.vault("GET", path, None).await;
    assert_eq!((status, never), (GONE, json!({ "errors": [] })));
    write(&bench, path, "one", None).await.unwrap();
    write(&bench, path, "two", None).await.unwrap();
    assert_eq!(bench.vault("DELETE", path, None).await.0, DONE);

    let (status, deleted) = bench.vault("GET", path, None).await;
    let metadata = &deleted["data"]["metadata"];
    assert_eq!((status, &deleted["data"]["data"]), (GONE, &Value::Null));
    assert_eq!(
        (&metadata["version"], &metadata["destroyed"]),
        (&json!(2), &json!(false))
    );
    assert_ne!(metadata["deletion_time"], "");
    let (_, old) = bench.vault("GET", &format!("{path}?version=1"), None).await;
    assert_eq!(old["data"]["data"]["value"], "one");
    assert!(write(&bench, path, "three", Some(json!(0))).await.is_err());

    let versions = |numbers: &[u64]| Some(json!({ "versions": numbers }));
    bench
        .vault("POST", "secret/undelete/a/b", versions(&[2]))
        .await;
    assert_eq!(
        bench.vault("GET", path, None).await.1["data"]["data"]["value"],
        "two"
    );
    bench
        .vault("PUT", "secret/destroy/a/b", versions(&[2]))
        .await;
    let (status, destroyed) = bench.vault("GET", path, None).await;
    assert_eq!(
        (status, &destroyed["data"]["metadata"]["destroyed"]),
        (GONE, &json!(true))
    );
    bench
        .vault("POST", "secret/undelete/a/b", versions(&[2]))
        .await;
    assert_eq!(
        bench.vault("GET", path, None).await.0,
        GONE,
        "destroyed is for good"
    );
    assert_eq!(
        bench
            .vault("POST", "secret/delete/a/b", versions(&[]))
            .await
            .0,
        BAD
    );

    assert_eq!(write(&bench, path, "three", Some(json!(2))).await, Ok(3));
    assert_eq!(
        bench.vault("DELETE", "secret/metadata/a/b", None).await.0,
        DONE
    );
    assert_eq!(write(&bench, path, "again", Some(json!(0))).await, Ok(1));
}

#[tokio::test]
async fn lists_have_two_spellings_and_show_deleted_names() {
    let bench = Bench::start().await;
    assert_eq!(bench.vault("LIST", "secret/metadata/", None).await.0, GONE);
    for path in ["home/ca", "home/nodes/cp-1", "home/nodes/cp-2"] {
        write(&bench, &format!("secret/data/{path}"), "v", None)
            .await
            .unwrap();
    }
    bench.vault("DELETE", "secret/data/home/ca", None).await;
    let expected = json!(["ca", "nodes/"]);
    for (method, path) in [
        ("LIST", "secret/metadata/home/"),
        ("LIST", "secret/metadata/home"),
        ("GET", "secret/metadata/home?list=true"),
    ] {
        let (status, listed) = bench.vault(method, path, None).await;
        assert_eq!(
            (status, &listed["data"]["keys"]),
            (OK, &expected),
            "{method} {path}"
        );
    }
    assert_eq!(
        bench.vault("LIST", "secret/metadata/hom", None).await.0,
        GONE
    );
    let estate = bench.control(http::Method::GET, "/estate", None).await.1;
    assert_eq!(
        estate["vault"][0],
        json!({ "namespace": "", "mount": "secret", "path": "home/ca", "version": 1, "state": "deleted" })
    );
    assert_eq!(
        bench.calls().await["vault LIST /v1/{mount}/metadata/{path}"],
        5
    );
}

#[tokio::test]
async fn metadata_counts_versions_and_keeps_ten() {
    let bench = Bench::start().await;
    for _ in 0..12 {
        write(&bench, "secret/data/a", "v", None).await.unwrap();
    }
    let (_, metadata) = bench.vault("GET", "secret/metadata/a", None).await;
    let data = &metadata["data"];
    assert_eq!(
        (&data["current_version"], &data["oldest_version"]),
        (&json!(12), &json!(3))
    );
    assert_eq!(data["versions"].as_object().unwrap().len(), 10);
    assert_eq!(
        bench.vault("GET", "secret/data/a?version=2", None).await.0,
        GONE
    );
    let custom =
        json!({ "custom_metadata": { "owner": "estate-1" }, "delete_version_after": "1h" });
    assert_eq!(
        bench
            .vault("POST", "secret/metadata/a", Some(custom))
            .await
            .0,
        DONE
    );
    write(&bench, "secret/data/a", "v", None).await.unwrap();
    let (_, read) = bench.vault("GET", "secret/data/a", None).await;
    assert_eq!(
        read["data"]["metadata"]["custom_metadata"]["owner"],
        "estate-1"
    );
    bench.advance(3700).await;
    assert_eq!(bench.vault("GET", "secret/data/a", None).await.0, GONE);
}

#[tokio::test]
async fn a_patch_merges_into_what_is_there() {
    let bench = Bench::start().await;
    let patch = async |path: &str, data: Value, kind: &str| {
        let headers = [
            ("x-vault-token", bench.env("VAULT_TOKEN")),
            ("content-type", kind),
        ];
        bench
            .vault_with(&headers, "PATCH", path, Some(json!({ "data": data })))
            .await
    };
    let merge = "application/merge-patch+json";
    assert_eq!(
        patch("secret/data/a", json!({ "x": "1" }), merge).await.0,
        GONE
    );
    let body = json!({ "data": { "keep": "1", "drop": "2", "change": "3" } });
    bench.vault("POST", "secret/data/a", Some(body)).await;
    let change = json!({ "drop": null, "change": "4" });
    assert_eq!(
        patch("secret/data/a", change.clone(), "application/json")
            .await
            .0,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        patch("secret/data/a", change.clone(), merge).await.1["data"]["version"],
        2
    );
    let (_, read) = bench.vault("GET", "secret/data/a", None).await;
    assert_eq!(read["data"]["data"], json!({ "keep": "1", "change": "4" }));
    bench.fault(json!({ "place": "vault", "target": "PATCH /v1/*/data/*", "action": { "status": { "code": 405 } } })).await;
    assert_eq!(
        patch("secret/data/a", change, merge).await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn the_unversioned_mount_can_be_told_apart() {
    let bench = Bench::start().await;
    for (mount, version) in [("secret", "2"), ("legacy", "1")] {
        let (_, seen) = bench
            .vault("GET", &format!("sys/internal/ui/mounts/{mount}/a"), None)
            .await;
        let data = &seen["data"];
        assert_eq!(
            (&data["options"]["version"], &data["type"]),
            (&json!(version), &json!("kv"))
        );
        assert_eq!(data["path"], format!("{mount}/"));
    }
    assert_eq!(
        bench
            .vault("GET", "sys/internal/ui/mounts/none", None)
            .await
            .0,
        DENIED
    );
    assert_eq!(
        bench
            .vault("POST", "legacy/a", Some(json!({ "value": "v" })))
            .await
            .0,
        DONE
    );
    assert_eq!(
        bench.vault("GET", "legacy/a", None).await.1["data"],
        json!({ "value": "v" })
    );
    assert_eq!(bench.vault("GET", "legacy/data/a", None).await.0, GONE);
    let (status, wrong) = bench.vault("GET", "secret/a", None).await;
    assert_eq!(status, GONE);
    assert!(
        wrong["warnings"][0]
            .as_str()
            .unwrap()
            .contains("Invalid path"),
        "{wrong}"
    );
    let (_, nowhere) = bench.vault("GET", "nowhere/data/a", None).await;
    assert!(
        nowhere["errors"][0]
            .as_str()
            .unwrap()
            .contains("no handler"),
        "{nowhere}"
    );
}

/// A token with a policy on the cluster's own entries.
async fn token(bench: &Bench, options: Value) -> String {
    let policy = r#"path "secret/data/home/*" { capabilities = ["create", "read"] }
        path "secret/metadata/home/*" { capabilities = ["list"] }"#;
    let body = json!({ "policy": policy });
    let (status, answer) = bench
        .vault("PUT", "sys/policies/acl/home", Some(body))
        .await;
    assert_eq!(status, DONE, "{answer}");
    let mut body = json!({ "policies": ["home"] });
    for (name, value) in options.as_object().unwrap() {
        body[name] = value.clone();
    }
    let (_, made) = bench.vault("POST", "auth/token/create", Some(body)).await;
    made["auth"]["client_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn policies_decide_and_the_two_kinds_of_403_differ() {
    let bench = Bench::start().await;
    let own = token(&bench, json!({})).await;
    let body = || Some(json!({ "data": { "value": "v" } }));
    let call = async |token: &str, method: &str, path: &str| {
        let body = (method == "POST").then(body).flatten();
        let (status, answer) = bench
            .vault_with(&[("x-vault-token", token)], method, path, body)
            .await;
        (
            status,
            answer["errors"][0].as_str().unwrap_or_default().to_owned(),
        )
    };
    for (method, path, status) in [
        ("POST", "secret/data/home/a", OK),
        ("POST", "secret/data/home/a", DENIED),
        ("GET", "secret/data/home/a", OK),
        ("DELETE", "secret/data/home/a", DENIED),
        ("LIST", "secret/metadata/home", OK),
        ("GET", "secret/data/away/a", DENIED),
        ("GET", "auth/token/lookup-self", OK),
        ("GET", "sys/internal/ui/mounts/secret", OK),
        ("GET", "sys/internal/ui/mounts/legacy", DENIED),
    ] {
        assert_eq!(call(&own, method, path).await.0, status, "{method} {path}");
    }
    let (_, lacking) = call(&own, "GET", "secret/data/away/a").await;
    let (status, unknown) = call("hvs.unknown", "GET", "secret/data/home/a").await;
    assert!(lacking.contains("permission denied") && !lacking.contains("invalid token"));
    assert!(
        status == DENIED && unknown.contains("invalid token"),
        "{unknown}"
    );
    assert_eq!(
        call("", "GET", "secret/data/home/a").await,
        (DENIED, "permission denied".into())
    );
    let (_, rights) = bench
        .vault_with(
            &[("authorization", &format!("Bearer {own}"))],
            "POST",
            "sys/capabilities-self",
            Some(json!({ "paths": ["secret/data/home/a"] })),
        )
        .await;
    assert_eq!(
        rights["data"]["secret/data/home/a"],
        json!(["create", "read"])
    );
}

#[tokio::test]
async fn tokens_live_as_long_as_they_are_renewed_up_to_a_maximum() {
    let bench = Bench::start().await;
    let own = token(&bench, json!({ "ttl": "1h", "explicit_max_ttl": "90m" })).await;
    let with = async |token: &str, method: &str, path: &str| {
        bench
            .vault_with(&[("x-vault-token", token)], method, path, None)
            .await
    };
    let (_, seen) = with(&own, "GET", "auth/token/lookup-self").await;
    let data = &seen["data"];
    assert_eq!(
        (&data["creation_ttl"], &data["renewable"], &data["type"]),
        (&json!(3600), &json!(true), &json!("service"))
    );
    assert_eq!(data["ttl"], 3600);
    bench.advance(3000).await;
    let (_, renewed) = with(&own, "POST", "auth/token/renew-self").await;
    assert_eq!(renewed["auth"]["lease_duration"], 2400, "to the maximum");
    assert!(renewed["warnings"][0].as_str().unwrap().contains("max_ttl"));
    bench.advance(2400).await;
    assert_eq!(with(&own, "GET", "auth/token/lookup-self").await.0, DENIED);

    let fixed = token(&bench, json!({ "ttl": "1h", "renewable": false })).await;
    let (status, refused) = with(&fixed, "POST", "auth/token/renew-self").await;
    assert_eq!(
        (status, &refused["errors"][0]),
        (BAD, &json!("lease is not renewable"))
    );
    assert_eq!(with(&fixed, "POST", "auth/token/revoke-self").await.0, DONE);
    assert_eq!(
        with(&fixed, "GET", "auth/token/lookup-self").await.0,
        DENIED
    );
    let (_, root) = bench.vault("GET", "auth/token/lookup-self", None).await;
    assert_eq!(
        (&root["data"]["ttl"], &root["data"]["expire_time"]),
        (&json!(0), &Value::Null)
    );
    let once = token(&bench, json!({ "num_uses": 1 })).await;
    assert_eq!(with(&once, "GET", "auth/token/lookup-self").await.0, OK);
    assert_eq!(with(&once, "GET", "auth/token/lookup-self").await.0, DENIED);
}

#[tokio::test]
async fn namespaces_are_named_by_header_or_by_path() {
    let bench = Bench::start().await;
    bench
        .vault("POST", "sys/namespaces/team", Some(json!({})))
        .await;
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    assert_eq!(
        bench
            .vault("POST", "team/sys/mounts/secret", Some(mount))
            .await
            .0,
        DONE
    );
    let (root, team) = (bench.env("VAULT_TOKEN"), ("x-vault-namespace", "team"));
    let headers = [("x-vault-token", root), team];
    let body = Some(json!({ "data": { "value": "theirs" } }));
    assert_eq!(
        bench
            .vault_with(&headers, "POST", "secret/data/a", body)
            .await
            .0,
        OK
    );
    assert_eq!(
        bench.vault("GET", "team/secret/data/a", None).await.1["data"]["data"]["value"],
        "theirs"
    );
    assert_eq!(bench.vault("GET", "secret/data/a", None).await.0, GONE);
    let headers = [("x-vault-token", root), ("x-vault-namespace", "nobody")];
    assert_eq!(
        bench
            .vault_with(&headers, "GET", "secret/data/a", None)
            .await
            .0,
        GONE
    );
}

#[tokio::test]
async fn a_server_can_be_sealed_on_standby_behind_or_busy() {
    let bench = Bench::start().await;
    write(&bench, "secret/data/a", "v", None).await.unwrap();
    let read = async || bench.vault("GET", "secret/data/a", None).await;
    bench
        .fault(json!({ "place": "vault", "action": "sealed" }))
        .await;
    let (status, sealed) = read().await;
    assert_eq!(
        (status, &sealed["errors"][0]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("Vault is sealed"))
    );
    let (status, health) = bench.vault_with(&[], "GET", "sys/health", None).await;
    assert_eq!(
        (status, &health["sealed"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!(true))
    );
    bench.control(http::Method::DELETE, "/faults", None).await;
    assert_eq!(bench.vault_with(&[], "GET", "sys/health", None).await.0, OK);

    for (action, status) in [
        (
            json!({ "status": { "code": 412 } }),
            StatusCode::PRECONDITION_FAILED,
        ),
        (
            json!({ "status": { "code": 429, "retry_after": 2 } }),
            StatusCode::TOO_MANY_REQUESTS,
        ),
        (json!({ "redirect": {} }), StatusCode::TEMPORARY_REDIRECT),
    ] {
        bench.fault(json!({ "place": "vault", "target": "GET /v1/*/data/*", "action": action, "times": 1 })).await;
        assert_eq!(read().await.0, status);
        assert_eq!(read().await.0, OK, "once");
    }
    bench.fault(json!({ "place": "vault", "action": { "redirect": { "location": "http://127.0.0.1:1/v1/x" } } })).await;
    let url = format!("{}/v1/secret/data/a", bench.env("VAULT_ADDR"));
    let answer = bench.raw(&url, &[]).await;
    assert_eq!(answer.headers["location"], "http://127.0.0.1:1/v1/x");
}

#[tokio::test]
async fn a_reply_may_be_lost_after_the_write_or_the_request_before_it() {
    let bench = Bench::start().await;
    let headers = [("x-vault-token", bench.env("VAULT_TOKEN"))];
    for (action, version) in [("disconnect", 0), ("lose_reply", 1)] {
        bench
            .fault(json!({ "place": "vault", "target": "POST /v1/*/data/*", "action": action, "times": 1 }))
            .await;
        let body = json!({ "options": { "cas": 0 }, "data": { "value": "v" } });
        let lost = bench.try_vault(&headers, "POST", "secret/data/a", Some(body));
        assert!(lost.await.is_err(), "{action}");
        let (_, seen) = bench.vault("GET", "secret/data/a", None).await;
        let seen = seen["data"]["metadata"]["version"].as_u64().unwrap_or(0);
        assert_eq!(seen, version, "{action}");
    }
    let headers = [headers[0], ("x-vault-wrap-ttl", "60s")];
    let (status, wrapped) = bench
        .vault_with(&headers, "GET", "secret/data/a", None)
        .await;
    let text = wrapped["errors"][0].as_str().unwrap();
    assert!(status == BAD && text.starts_with("LAB-UNKNOWN"), "{text}");
}
