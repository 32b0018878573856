//! Infisical: logins, both generations of the secrets API over one store, and the ways it surprises its clients.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::lab::Bench;

const OK: StatusCode = StatusCode::OK;
const BAD: StatusCode = StatusCode::BAD_REQUEST;
const UNKNOWN: StatusCode = StatusCode::UNAUTHORIZED;
const DENIED: StatusCode = StatusCode::FORBIDDEN;
const GONE: StatusCode = StatusCode::NOT_FOUND;
const WRONG: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// The query or body of a call to v4 in `prod`.
fn place(bench: &Bench, path: &str) -> Value {
    json!({ "projectId": bench.env("INFISICAL_PROJECT_ID"), "environment": "prod", "secretPath": path })
}

fn with(mut body: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A change of one secret with v4.
async fn change(
    bench: &Bench,
    method: Method,
    path: &str,
    name: &str,
    more: Value,
) -> (StatusCode, Value) {
    let body = with(place(bench, path), &more);
    bench
        .infisical(method, &format!("/api/v4/secrets/{name}"), Some(body))
        .await
}

async fn create(bench: &Bench, path: &str, name: &str, value: &str) -> (StatusCode, Value) {
    change(
        bench,
        Method::POST,
        path,
        name,
        json!({ "secretValue": value }),
    )
    .await
}

/// A read with v4: `name` is empty for a list.
async fn read(bench: &Bench, path: &str, name: &str, more: &str) -> (StatusCode, Value) {
    let project = bench.env("INFISICAL_PROJECT_ID");
    let slash = if name.is_empty() { "" } else { "/" };
    let url = format!(
        "/api/v4/secrets{slash}{name}?projectId={project}&environment=prod&secretPath={path}{more}"
    );
    bench.infisical(Method::GET, &url, None).await
}

async fn folder(bench: &Bench, path: &str, name: &str) -> (StatusCode, Value) {
    let body = json!({ "projectId": bench.env("INFISICAL_PROJECT_ID"), "environment": "prod", "path": path, "name": name });
    bench
        .infisical(Method::POST, "/api/v2/folders", Some(body))
        .await
}

#[tokio::test]
async fn both_generations_see_one_store() {
    let bench = Bench::start().await;
    let project = bench.env("INFISICAL_PROJECT_ID").to_owned();
    let old = json!({ "workspaceId": project, "environment": "prod", "secretPath": "/", "secretValue": "one" });
    let (status, made) = bench
        .infisical(Method::POST, "/api/v3/secrets/raw/A", Some(old))
        .await;
    assert_eq!((status, &made["secret"]["version"]), (OK, &json!(1)));
    let (_, updated) = change(
        &bench,
        Method::PATCH,
        "/",
        "A",
        json!({ "secretValue": "one" }),
    )
    .await;
    assert_eq!(updated["secret"]["version"], 2, "also when nothing is new");
    let url = "/api/v3/secrets/raw/A?workspaceSlug=strata-lab&environment=prod".to_owned();
    let (_, seen) = bench.infisical(Method::GET, &url, None).await;
    assert_eq!(seen["secret"]["secretValue"], "one");
    assert_eq!(
        read(&bench, "/", "A", "&version=1").await.1["secret"]["version"],
        1
    );
    assert_eq!(
        create(&bench, "/", "A", "two").await.1["message"],
        "Secret already exist"
    );
    assert_eq!(
        change(&bench, Method::DELETE, "/", "A", json!({})).await.0,
        OK
    );
    assert_eq!(
        change(&bench, Method::DELETE, "/", "A", json!({})).await.0,
        GONE
    );
    let (status, gone) = read(&bench, "/", "A", "").await;
    assert_eq!(
        (status, &gone["message"]),
        (GONE, &json!("Secret with name 'A' not found"))
    );
    let calls = bench.calls().await;
    assert_eq!(calls["infisical PATCH /api/v4/secrets/{name}"], 1);
    assert_eq!(calls["infisical POST /api/v3/secrets/raw/{name}"], 1);
}

#[tokio::test]
async fn a_wrong_password_locks_the_client_for_a_while() {
    let bench = Bench::start().await;
    let try_with = async |secret: &str| {
        let (status, answer) = bench.login_with(secret).await;
        (
            status,
            answer["message"].as_str().unwrap_or("in").to_owned(),
        )
    };
    let good = bench.env("INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET");
    for _ in 0..3 {
        assert_eq!(
            try_with("wrong").await,
            (UNKNOWN, "Invalid credentials".into())
        );
    }
    let (status, locked) = try_with(good).await;
    assert!(
        status == UNKNOWN && locked.contains("temporarily locked"),
        "{locked}"
    );
    bench.advance(301).await;
    assert_eq!(try_with(good).await.0, OK);
    for _ in 0..4 {
        assert_eq!(try_with("wrong").await.1, "Invalid credentials");
        bench.advance(31).await;
    }
    assert_eq!(
        try_with(good).await.0,
        OK,
        "failures far apart do not add up"
    );
    let url = format!(
        "{}/api/v1/auth/universal-auth/login",
        bench.env("INFISICAL_HOST")
    );
    let answer = bench.raw(&url, &[]).await;
    assert_eq!(answer.status, GONE, "there is no GET");
}

#[tokio::test]
async fn a_client_secret_can_be_used_up_or_expire() {
    let bench = Bench::start().await;
    bench
        .change(json!({ "set_up_login": { "client_secret_uses": 2 } }))
        .await;
    for status in [OK, OK, UNKNOWN] {
        assert_eq!(bench.login().await.0, status);
    }
    bench
        .change(json!({ "set_up_login": { "client_secret_ttl": 60 } }))
        .await;
    assert_eq!(bench.login().await.0, OK);
    bench.advance(61).await;
    let (_, expired) = bench.login().await;
    assert!(
        expired["message"]
            .as_str()
            .unwrap()
            .contains("expired client secret")
    );
    bench
        .change(json!({ "set_up_login": { "refuses_address": true } }))
        .await;
    let (status, elsewhere) = bench.login().await;
    assert!(
        status == UNKNOWN
            && elsewhere["message"]
                .as_str()
                .unwrap()
                .contains("IP address")
    );
    bench
        .change(json!({ "set_up_login": { "client_secret_uses": 1 } }))
        .await;
    bench.login().await;
    let (_, used) = bench.login().await;
    assert!(
        used["message"]
            .as_str()
            .unwrap()
            .contains("usage limit reached")
    );
}

#[tokio::test]
async fn a_renewal_past_the_maximum_kills_the_token() {
    let bench = Bench::start().await;
    let status = async |token: &str| {
        let (status, answer) = bench
            .infisical_as(
                token,
                Method::GET,
                &format!("/api/v1/projects/{}", bench.env("INFISICAL_PROJECT_ID")),
                None,
            )
            .await;
        (
            status,
            answer["error"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let renew = async |token: &str| {
        let body = json!({ "accessToken": token });
        bench
            .infisical_as("", Method::POST, "/api/v1/auth/token/renew", Some(body))
            .await
    };
    let (_, login) = bench.login().await;
    assert_eq!(
        (&login["expiresIn"], &login["accessTokenMaxTTL"]),
        (&json!(2_592_000), &json!(2_592_000))
    );
    let token = login["accessToken"].as_str().unwrap();
    assert_eq!(status(token).await.0, OK);
    bench.advance(1).await;
    assert_eq!(renew(token).await.0, UNKNOWN);
    assert_eq!(status(token).await, (UNKNOWN, "UnauthorizedError".into()));

    bench
        .change(json!({ "set_up_login": { "access_token_ttl": 60, "access_token_max_ttl": 100 } }))
        .await;
    let (_, login) = bench.login().await;
    let first = login["accessToken"].as_str().unwrap().to_owned();
    bench.advance(30).await;
    let (_, renewed) = renew(&first).await;
    let second = renewed["accessToken"].as_str().unwrap().to_owned();
    assert_ne!(first, second, "signed anew");
    bench.advance(31).await;
    assert_eq!(status(&first).await, (DENIED, "TokenError".into()));
    assert_eq!(status(&second).await.0, OK);
    for token in ["nonsense", "a.b.c", &format!("{second}x")] {
        assert_eq!(
            status(token).await,
            (DENIED, "TokenError".into()),
            "{token}"
        );
    }
    let url = format!("{}/api/v4/secrets", bench.env("INFISICAL_HOST"));
    let missing = bench.raw(&url, &[]).await;
    assert_eq!(
        (missing.status, missing.json()["message"].clone()),
        (UNKNOWN, json!("Token missing"))
    );
    let revoke = json!({ "accessToken": second });
    assert_eq!(
        bench
            .infisical_as("", Method::POST, "/api/v1/auth/token/revoke", Some(revoke))
            .await
            .0,
        OK
    );
    assert_eq!(status(&second).await.0, UNKNOWN);
    bench
        .change(json!({ "set_up_login": { "access_token_period": 60 } }))
        .await;
    assert_eq!(bench.login().await.1["accessTokenMaxTTL"], 1_000_000_000);
    bench
        .change(json!({ "set_up_login": { "access_token_uses": 1 } }))
        .await;
    let (_, login) = bench.login().await;
    let once = login["accessToken"].as_str().unwrap();
    assert_eq!(
        [
            status(once).await.0,
            status(once).await.0,
            status(once).await.0
        ],
        [OK, BAD, UNKNOWN]
    );
}

#[tokio::test]
async fn requests_of_the_wrong_shape_get_a_list_of_issues() {
    let bench = Bench::start().await;
    let project = bench.env("INFISICAL_PROJECT_ID");
    for query in [
        "&recursive=yes",
        "&viewSecretValue=1",
        "&expandSecretReferences=True",
        "&includeImports=0",
    ] {
        let (status, answer) = read(&bench, "/", "", query).await;
        assert_eq!(
            (status, &answer["error"]),
            (WRONG, &json!("ValidationFailure")),
            "{query}"
        );
        assert_eq!(
            answer["message"][0]["code"], "invalid_enum_value",
            "{query}"
        );
    }
    let (status, answer) = bench
        .infisical(
            Method::GET,
            &format!("/api/v4/secrets?projectId={project}"),
            None,
        )
        .await;
    assert_eq!(
        (status, &answer["message"]),
        (BAD, &json!("Missing project id or environment"))
    );
    for (name, more, at) in [
        ("a:b", json!({ "secretValue": "v" }), "secretName"),
        ("A", json!({}), "secretValue"),
        ("A", json!({ "secretValue": 1 }), "secretValue"),
        (
            "A",
            json!({ "secretValue": "v", "type": "private" }),
            "type",
        ),
        (
            "A",
            json!({ "secretValue": "v", "secretReminderNote": "x".repeat(1025) }),
            "secretReminderNote",
        ),
        (
            "A",
            json!({ "secretValue": "v", "secretMetadata": [{ "value": "x" }] }),
            "secretMetadata",
        ),
    ] {
        let (status, answer) = change(&bench, Method::POST, "/", name, more).await;
        assert_eq!(
            (status, &answer["message"][0]["path"][0]),
            (WRONG, &json!(at)),
            "{answer}"
        );
    }
    let (status, _) = bench
        .infisical(Method::DELETE, "/api/v4/secrets/A", None)
        .await;
    assert_eq!(status, WRONG, "a delete needs a body");
    let estate = bench.control(Method::GET, "/estate", None).await.1;
    assert_eq!(estate["infisical"]["secrets"], json!([]));
}

#[tokio::test]
async fn values_are_trimmed_and_metadata_is_kept() {
    let bench = Bench::start().await;
    let more = json!({ "secretValue": " key\nline\n\n", "secretComment": " set by strata ", "secretMetadata": [{ "key": "nonce", "value": "n1" }] });
    change(&bench, Method::POST, "/", "A", more).await;
    let (_, seen) = read(&bench, "/", "A", "").await;
    let secret = &seen["secret"];
    assert_eq!(
        (&secret["secretValue"], &secret["secretComment"]),
        (&json!("key\nline\n"), &json!("set by strata"))
    );
    assert_eq!(
        secret["secretMetadata"],
        json!([{ "key": "nonce", "value": "n1", "isEncrypted": false }])
    );
    let (_, renamed) = change(
        &bench,
        Method::PATCH,
        "/",
        "A",
        json!({ "newSecretName": "B" }),
    )
    .await;
    assert_eq!(renamed["secret"]["secretKey"], "B");
    let (_, seen) = read(&bench, "/", "B", "").await;
    assert_eq!(
        (
            &seen["secret"]["secretValue"],
            &seen["secret"]["secretMetadata"][0]["value"]
        ),
        (&json!("key\nline\n"), &json!("n1"))
    );
    create(&bench, "/", "A", "v").await;
    assert_eq!(
        change(
            &bench,
            Method::PATCH,
            "/",
            "A",
            json!({ "newSecretName": "B" })
        )
        .await
        .0,
        BAD
    );
    let id = seen["secret"]["id"].as_str().unwrap();
    let (_, by_id) = bench
        .infisical(Method::GET, &format!("/api/v4/secrets/id/{id}"), None)
        .await;
    assert_eq!(by_id["secret"]["secretKey"], "B");
}

#[tokio::test]
async fn folders_are_made_with_their_parents_unless_the_server_is_old() {
    let bench = Bench::start().await;
    let (status, missing) = create(&bench, "/clusters/home", "A", "v").await;
    assert_eq!(status, GONE);
    assert!(
        missing["message"]
            .as_str()
            .unwrap()
            .contains("Folder with path '/clusters/home'"),
        "{missing}"
    );
    assert_eq!(
        read(&bench, "/clusters/home", "", "").await,
        (OK, json!({ "secrets": [], "imports": [] }))
    );
    let (status, made) = folder(&bench, "/clusters", "home").await;
    assert_eq!(
        (status, &made["folder"]["path"]),
        (OK, &json!("/clusters/home"))
    );
    let (status, again) = folder(&bench, "/clusters", "home").await;
    assert_eq!(
        (status, &again["folder"]["id"]),
        (OK, &made["folder"]["id"])
    );
    assert_eq!(folder(&bench, "/", "a.b").await.0, WRONG);
    assert_eq!(create(&bench, "/clusters/home", "A", "v").await.0, OK);
    let url = |recursive: &str| {
        let project = bench.env("INFISICAL_PROJECT_ID");
        format!("/api/v2/folders?projectId={project}&environment=prod&path=/&recursive={recursive}")
    };
    for (recursive, count) in [("False", 1), ("True", 2)] {
        let (_, listed) = bench.infisical(Method::GET, &url(recursive), None).await;
        assert_eq!(
            listed["folders"].as_array().unwrap().len(),
            count,
            "{recursive}"
        );
    }
    let estate = bench.control(Method::GET, "/estate", None).await.1;
    assert_eq!(
        estate["infisical"]["secrets"],
        json!([{ "environment": "prod", "path": "/clusters/home", "key": "A", "version": 1 }])
    );

    bench
        .fault(json!({ "place": "infisical", "action": "old_server" }))
        .await;
    let (status, absent) = folder(&bench, "/clusters", "home").await;
    assert_eq!(
        (status, absent.get("reqId")),
        (GONE, None),
        "the web framework's own 404"
    );
    assert_eq!(
        read(&bench, "/clusters/home", "A", "").await.1["error"],
        "Not Found"
    );
    let old = async |path: &str, name: &str| {
        let body = json!({ "workspaceId": bench.env("INFISICAL_PROJECT_ID"), "environment": "prod", "path": path, "name": name });
        let (status, answer) = bench
            .infisical(Method::POST, "/api/v1/folders", Some(body))
            .await;
        (
            status,
            answer["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let (status, message) = old("/clusters", "home").await;
    assert!(
        status == BAD && message.contains("already exists"),
        "{message}"
    );
    assert_eq!(old("/deep/deeper", "x").await.0, GONE);
    assert_eq!(old("/", "deep").await.0, OK);
}

#[tokio::test]
async fn batches_are_all_or_nothing() {
    let bench = Bench::start().await;
    let batch = async |method: Method, more: Value| {
        let body = with(place(&bench, "/"), &more);
        bench
            .infisical(method, "/api/v4/secrets/batch", Some(body))
            .await
    };
    let items = |names: &[&str]| {
        let items: Vec<Value> = names
            .iter()
            .map(|name| json!({ "secretKey": name, "secretValue": "v" }))
            .collect();
        json!({ "secrets": items })
    };
    assert_eq!(batch(Method::POST, items(&["A", "B"])).await.0, OK);
    let (status, conflict) = batch(Method::POST, items(&["A", "B", "C"])).await;
    assert_eq!(
        (status, &conflict["message"]),
        (BAD, &json!("Secret already exist: A,B"))
    );
    let (status, missing) = batch(Method::PATCH, items(&["A", "C"])).await;
    assert!(
        status == GONE && missing["message"].as_str().unwrap().contains('C'),
        "{missing}"
    );
    assert_eq!(
        read(&bench, "/", "A", "").await.1["secret"]["version"],
        1,
        "nothing of it happened"
    );
    let (_, upserted) = batch(
        Method::PATCH,
        with(items(&["A", "C"]), &json!({ "mode": "upsert" })),
    )
    .await;
    let versions: Vec<&Value> = upserted["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| &secret["version"])
        .collect();
    assert_eq!(versions, [&json!(2), &json!(1)]);
    let (_, ignored) = batch(
        Method::PATCH,
        with(items(&["B", "D"]), &json!({ "mode": "ignore" })),
    )
    .await;
    assert_eq!(ignored["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(
        batch(
            Method::PATCH,
            with(items(&["A"]), &json!({ "mode": "merge" }))
        )
        .await
        .0,
        WRONG
    );
    assert_eq!(batch(Method::POST, json!({ "secrets": [] })).await.0, WRONG);
    assert_eq!(batch(Method::DELETE, items(&["A", "Z"])).await.0, GONE);
    assert_eq!(batch(Method::DELETE, items(&["A", "B", "C"])).await.0, OK);
    assert_eq!(read(&bench, "/", "", "").await.1["secrets"], json!([]));
    let body = json!({ "workspaceId": bench.env("INFISICAL_PROJECT_ID"), "environment": "prod", "mode": "upsert", "secrets": [{ "secretKey": "A", "secretValue": "v" }] });
    bench
        .fault(json!({ "place": "infisical", "action": "old_server" }))
        .await;
    assert_eq!(
        bench
            .infisical(Method::PATCH, "/api/v3/secrets/batch/raw", Some(body))
            .await
            .0,
        GONE,
        "an old server does not know the mode"
    );
}

#[tokio::test]
async fn values_that_may_not_be_seen_are_hidden_or_refused() {
    let bench = Bench::start().await;
    folder(&bench, "/", "closed").await;
    create(&bench, "/closed", "A", "v").await;
    let (_, shown) = read(&bench, "/closed", "A", "&viewSecretValue=false").await;
    assert_eq!(
        (
            &shown["secret"]["secretValue"],
            &shown["secret"]["secretValueHidden"]
        ),
        (&json!("<hidden-by-infisical>"), &json!(true))
    );
    bench.change(json!({ "restrict_identity": [{ "environment": "prod", "path": "/closed", "deny": ["read_value", "edit"] }] })).await;
    let (status, list) = read(&bench, "/closed", "", "").await;
    assert_eq!(
        (status, &list["secrets"][0]["secretValue"]),
        (OK, &json!("<hidden-by-infisical>"))
    );
    let (status, refused) = read(&bench, "/closed", "A", "").await;
    assert_eq!(
        (status, &refused["error"]),
        (DENIED, &json!("ForbiddenReadSecretError"))
    );
    let (status, refused) = change(
        &bench,
        Method::PATCH,
        "/closed",
        "A",
        json!({ "secretValue": "w" }),
    )
    .await;
    assert_eq!(
        (status, &refused["error"]),
        (DENIED, &json!("PermissionDenied"))
    );
    assert_eq!(refused["details"][0]["action"], "edit");
    assert_eq!(create(&bench, "/closed", "B", "v").await.0, OK);
    create(&bench, "/", "C", "${prod.closed.A}").await;
    assert_eq!(
        read(&bench, "/", "C", "&expandSecretReferences=true")
            .await
            .0,
        DENIED
    );
    bench
        .change(json!({ "restrict_identity": [{ "deny": ["describe"] }] }))
        .await;
    assert_eq!(read(&bench, "/", "", "").await.0, DENIED);
}

#[tokio::test]
async fn references_are_followed_ten_deep_and_not_in_circles() {
    let bench = Bench::start().await;
    let value = async |name: &str| {
        read(&bench, "/", name, "&expandSecretReferences=true")
            .await
            .1["secret"]["secretValue"]
            .clone()
    };
    let (status, missing) = create(&bench, "/", "A", "${NONE}").await;
    assert!(
        status == BAD && missing["message"].as_str().unwrap().contains("NONE"),
        "{missing}"
    );
    assert_eq!(create(&bench, "/", "A", "${nowhere.NONE}").await.0, BAD);
    folder(&bench, "/x", "y").await;
    create(&bench, "/x/y", "K", "deep").await;
    create(&bench, "/", "A", "<${prod.x.y.K}>").await;
    assert_eq!(value("A").await, "<deep>");
    assert_eq!(
        read(&bench, "/", "A", "").await.1["secret"]["secretValue"],
        "<${prod.x.y.K}>"
    );
    change(&bench, Method::DELETE, "/x/y", "K", json!({})).await;
    assert_eq!(
        value("A").await,
        "<${prod.x.y.K}>",
        "what is missing stays as it is written"
    );
    create(&bench, "/", "R0", "end").await;
    for index in 1..=12 {
        create(
            &bench,
            "/",
            &format!("R{index}"),
            &format!("${{R{}}}", index - 1),
        )
        .await;
    }
    assert_eq!(value("R10").await, "end");
    assert_eq!(value("R11").await, "${R0}");
    change(
        &bench,
        Method::PATCH,
        "/",
        "R0",
        json!({ "secretValue": "${R1}" }),
    )
    .await;
    assert!(value("R1").await.as_str().unwrap().starts_with("${R"));
}

#[tokio::test]
async fn a_direct_secret_beats_imports_and_a_later_import_an_earlier_one() {
    let bench = Bench::start().await;
    for name in ["own", "first", "second"] {
        folder(&bench, "/", name).await;
    }
    let import = async |path: &str| {
        let body = json!({
            "workspaceId": bench.env("INFISICAL_PROJECT_ID"), "environment": "prod", "path": "/own", "import": { "environment": "prod", "path": path },
        });
        bench
            .infisical(Method::POST, "/api/v1/secret-imports", Some(body))
            .await
    };
    import("/first").await;
    let (_, second) = import("/second").await;
    assert_eq!(second["secretImport"]["position"], 2);
    assert_eq!(import("/second").await.0, BAD);
    for (path, name) in [
        ("/own", "A"),
        ("/first", "A"),
        ("/first", "B"),
        ("/second", "B"),
        ("/first", "C"),
    ] {
        create(&bench, path, name, path).await;
    }
    for (name, from) in [("A", "/own"), ("B", "/second"), ("C", "/first")] {
        let (_, seen) = read(&bench, "/own", name, "&include_imports=true").await;
        assert_eq!(seen["secret"]["secretValue"], from, "{name}");
    }
    assert_eq!(
        read(&bench, "/own", "B", "").await.0,
        GONE,
        "imports must be asked for"
    );
    let (_, list) = read(&bench, "/own", "", "&includeImports=true").await;
    let paths: Vec<&Value> = list["imports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|import| &import["secretPath"])
        .collect();
    assert_eq!(paths, ["/first", "/second"]);
    let id = second["secretImport"]["id"].as_str().unwrap();
    let body = json!({
        "workspaceId": bench.env("INFISICAL_PROJECT_ID"), "environment": "prod", "path": "/own", "import": { "position": 1 },
    });
    let (_, moved) = bench
        .infisical(
            Method::PATCH,
            &format!("/api/v1/secret-imports/{id}"),
            Some(body),
        )
        .await;
    assert_eq!(moved["secretImport"]["position"], 1);
    assert_eq!(
        read(&bench, "/own", "B", "&include_imports=true").await.1["secret"]["secretValue"],
        "/first"
    );
}

#[tokio::test]
async fn a_change_may_wait_be_lost_be_throttled_or_happen_twice() {
    let bench = Bench::start().await;
    bench.fault(json!({ "place": "infisical", "action": "approval_pending", "target": "POST /api/v4/secrets/*" })).await;
    let (status, pending) = create(&bench, "/", "A", "v").await;
    assert_eq!(
        (status, &pending["approval"]["status"]),
        (OK, &json!("open"))
    );
    assert_eq!(
        read(&bench, "/", "A", "").await.0,
        GONE,
        "nothing was written"
    );
    bench.control(Method::DELETE, "/faults", None).await;

    for (action, status) in [
        (
            json!({ "status": { "code": 429, "retry_after": 2 } }),
            StatusCode::TOO_MANY_REQUESTS,
        ),
        (
            json!({ "status": { "code": 502, "body": "<html>bad gateway</html>" } }),
            StatusCode::BAD_GATEWAY,
        ),
        (
            json!({ "late_status": { "code": 504 } }),
            StatusCode::GATEWAY_TIMEOUT,
        ),
    ] {
        let target = "POST /api/v4/secrets/*";
        bench
            .fault(json!({ "place": "infisical", "target": target, "action": action, "times": 1 }))
            .await;
        let (seen, answer) = create(&bench, "/", "B", "v").await;
        assert_eq!(seen, status, "{answer}");
    }
    assert_eq!(
        read(&bench, "/", "B", "").await.0,
        OK,
        "the late one happened"
    );

    bench
        .fault(json!({ "place": "infisical", "action": { "slow_insert": { "seconds": 5 } } }))
        .await;
    let (first, second, ()) = tokio::join!(
        create(&bench, "/", "C", "one"),
        create(&bench, "/", "C", "two"),
        async {
            while bench.calls().await["infisical POST /api/v4/secrets/{name}"] != json!(6) {}
            bench.advance(6).await;
        }
    );
    assert_eq!(
        (first.0, second.0),
        (OK, OK),
        "the server only looks before it inserts"
    );
    let (_, list) = read(&bench, "/", "", "").await;
    let named = |secret: &&Value| secret["secretKey"] == "C";
    assert_eq!(
        list["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .filter(named)
            .count(),
        2
    );
}

#[tokio::test]
async fn a_replica_may_be_one_version_behind() {
    let bench = Bench::start().await;
    create(&bench, "/", "A", "one").await;
    create(&bench, "/", "B", "one").await;
    change(
        &bench,
        Method::PATCH,
        "/",
        "A",
        json!({ "secretValue": "two" }),
    )
    .await;
    bench
        .fault(json!({ "place": "infisical", "action": "stale_read", "times": 3 }))
        .await;
    assert_eq!(
        read(&bench, "/", "A", "").await.1["secret"]["secretValue"],
        "one"
    );
    assert_eq!(read(&bench, "/", "B", "").await.0, GONE);
    let (_, list) = read(&bench, "/", "", "").await;
    assert_eq!(list["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(read(&bench, "/", "B", "").await.0, OK, "it caught up");
}

#[tokio::test]
async fn what_the_lab_cannot_do_is_said() {
    let bench = Bench::start().await;
    for (method, path, status) in [
        (Method::POST, "/api/v4/secrets/move", GONE),
        (Method::GET, "/api/v2/organizations/x", GONE),
        (Method::GET, "/api/v4/secrets?tagSlugs=a", BAD),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let (seen, answer) = bench.infisical(method, path, body).await;
        let message = answer["message"].as_str().unwrap();
        assert!(
            seen == status && message.starts_with("LAB-UNKNOWN"),
            "{path}: {answer}"
        );
    }
}
