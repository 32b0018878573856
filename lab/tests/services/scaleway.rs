//! Elastic Metal and ssh keys: the life of a server, its errors, and what a client may lose.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::lab::Bench;

mod parts;

const ZONE: &str = "/baremetal/v1/zones/fr-par-2";
const KEYS: &str = "/iam/v1alpha1/ssh-keys";
const UBUNTU: &str = "7d1914e1-f4ab-47fc-bd8c-b3a23143e87a";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM7HUxRyQtB2rnlhQUcbDGCZcTJg7OvoznOiyC9W6IxH";

async fn offer(bench: &Bench, name: &str, period: &str) -> Value {
    let (_, answer) = bench
        .scaleway(
            Method::GET,
            &format!("{ZONE}/offers?subscription_period={period}"),
            None,
        )
        .await;
    answer["offers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|offer| offer["name"] == name)
        .unwrap()
        .clone()
}

async fn order(bench: &Bench, offer_name: &str) -> Value {
    let key = json!({ "name": "operator", "public_key": format!("{KEY} me@home\n"), "project_id": bench.env("SCW_DEFAULT_PROJECT_ID") });
    let (status, key) = bench.scaleway(Method::POST, KEYS, Some(key)).await;
    assert_eq!(status, StatusCode::OK);
    json!({
        "offer_id": offer(bench, offer_name, "hourly").await["id"],
        "project_id": bench.env("SCW_DEFAULT_PROJECT_ID"),
        "name": "lab-cp-1",
        "description": "",
        "tags": ["strata-node=cp-1", "strata-cluster=lab"],
        "install": { "os_id": UBUNTU, "hostname": "cp-1", "ssh_key_ids": [key["id"]] },
        "user_data": "I2Nsb3VkLWNvbmZpZwo=",
    })
}

async fn create(bench: &Bench, order: &Value) -> (String, Value) {
    let (status, server) = bench
        .scaleway(
            Method::POST,
            &format!("{ZONE}/servers"),
            Some(order.clone()),
        )
        .await;
    assert_eq!(status, StatusCode::OK, "{server}");
    (
        format!("{ZONE}/servers/{}", server["id"].as_str().unwrap()),
        server,
    )
}

async fn get(bench: &Bench, path: &str) -> Value {
    let (status, body) = bench.scaleway(Method::GET, path, None).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

#[tokio::test]
async fn a_fast_server_lives_as_recorded() {
    let bench = Bench::start().await;
    let order = order(&bench, "EM-I215E-NVME").await;
    let (path, ordered) = create(&bench, &order).await;
    assert_eq!(
        (
            &ordered["status"],
            &ordered["install"]["status"],
            &ordered["ips"]
        ),
        (&json!("ordered"), &json!("to_install"), &json!([]))
    );
    bench.advance(1).await;
    let allocated = get(&bench, &path).await;
    assert_eq!(allocated["ips"].as_array().unwrap().len(), 2);
    assert_eq!(allocated["updated_at"], ordered["updated_at"]);
    bench.advance(6).await;
    let ready = get(&bench, &path).await;
    assert_eq!(
        (
            &ready["status"],
            &ready["install"]["status"],
            &ready["domain"]
        ),
        (&json!("ready"), &json!("to_install"), &json!(""))
    );
    bench.advance(20).await;
    let installing = get(&bench, &path).await;
    assert_eq!(
        (&installing["install"]["status"], &installing["ping_status"]),
        (&json!("installing"), &json!("ping_status_up"))
    );
    assert_eq!(installing["ips"][0]["reverse"], installing["domain"]);
    bench.advance(235).await;
    assert_eq!(
        get(&bench, &path).await["install"]["status"],
        "installing",
        "nothing completes before 270 s"
    );
    bench.advance(200).await;
    let completed = get(&bench, &path).await;
    assert_eq!(completed["install"]["status"], "completed");
    assert_eq!(
        completed["updated_at"], installing["updated_at"],
        "completion does not move updated_at"
    );

    let (status, deleting) = bench.scaleway(Method::DELETE, &path, None).await;
    assert_eq!(
        (status, &deleting["status"]),
        (StatusCode::OK, &json!("deleting"))
    );
    let (again, _) = bench.scaleway(Method::DELETE, &path, None).await;
    assert_eq!(again, StatusCode::NOT_FOUND);
    bench.advance(6).await;
    let gone = bench.scaleway(Method::GET, &path, None).await;
    assert_eq!(
        gone,
        (StatusCode::NOT_FOUND, json!({ "message": "Not Found" }))
    );
}

#[tokio::test]
async fn a_slow_server_shows_nothing_until_it_is_delivered() {
    let bench = Bench::start().await;
    let mut order = order(&bench, "EM-B112X-SSD").await;
    let refused = bench
        .scaleway(
            Method::POST,
            &format!("{ZONE}/servers"),
            Some(order.clone()),
        )
        .await;
    assert_eq!(
        refused,
        (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "message": "cloud-init is not supported on this offer" })
        )
    );
    order.as_object_mut().unwrap().remove("user_data");
    let (path, ordered) = create(&bench, &order).await;
    assert_eq!(ordered["status"], "delivering");
    bench.advance(100).await;
    assert_eq!(get(&bench, &path).await["ips"], json!([]));
    let early = bench
        .scaleway(Method::POST, &format!("{path}/reboot"), Some(json!({})))
        .await;
    assert_eq!(
        early,
        (
            StatusCode::BAD_REQUEST,
            json!({ "message": "Server is not delivered" })
        )
    );
    bench.advance(145).await;
    let ready = get(&bench, &path).await;
    assert_eq!(
        (&ready["status"], &ready["ping_status"]),
        (&json!("ready"), &json!("ping_status_up"))
    );
    bench.advance(1700).await;
    assert_eq!(get(&bench, &path).await["install"]["status"], "completed");
}

#[tokio::test]
async fn the_rescue_system_runs_until_the_server_is_booted_normally() {
    let bench = Bench::start().await;
    let order = order(&bench, "EM-I215E-NVME").await;
    let (path, _) = create(&bench, &order).await;
    bench.advance(600).await;
    let reboot = async |body: Value| {
        let answer = bench
            .scaleway(Method::POST, &format!("{path}/reboot"), Some(body))
            .await;
        bench.advance(5).await;
        answer
    };
    let stranger =
        json!({ "boot_type": "rescue", "ssh_key_ids": ["00000000-0000-0000-0000-000000000000"] });
    assert_eq!(reboot(stranger).await.0, StatusCode::NOT_FOUND);
    let keys = &order["install"]["ssh_key_ids"];
    let (code, asked) = reboot(json!({ "boot_type": "rescue", "ssh_key_ids": keys })).await;
    assert_eq!(
        (code, &asked["status"]),
        (StatusCode::OK, &json!("stopping"))
    );
    let rescue = get(&bench, &path).await;
    assert_eq!(
        (&rescue["status"], &rescue["boot_type"]),
        (&json!("ready"), &json!("rescue"))
    );
    assert_eq!(rescue["rescue_server"]["user"], "rescue");
    assert!(rescue["rescue_server"]["password"].is_string());
    // Left as it is, and then as it should be.
    reboot(json!({})).await;
    assert_eq!(get(&bench, &path).await["boot_type"], "rescue");
    reboot(json!({ "boot_type": "normal" })).await;
    let normal = get(&bench, &path).await;
    assert_eq!(
        (&normal["boot_type"], &normal["rescue_server"]),
        (&json!("normal"), &Value::Null)
    );
}

#[tokio::test]
async fn an_install_error_has_no_reason_and_a_reinstall_is_the_way_out() {
    let bench = Bench::start().await;
    bench.fault(json!({ "place": "machine", "target": "cp-1", "action": { "install_error": { "after": 200 } }, "times": 1 })).await;
    let order = order(&bench, "EM-B220E-NVME").await;
    let (path, _) = create(&bench, &order).await;
    bench.advance(300).await;
    let failed = get(&bench, &path).await;
    assert_eq!(
        (&failed["status"], &failed["install"]["status"]),
        (&json!("ready"), &json!("error"))
    );
    let (status, again) = bench
        .scaleway(
            Method::POST,
            &format!("{path}/install"),
            Some(order["install"].clone()),
        )
        .await;
    assert_eq!(
        (status, &again["install"]["status"]),
        (StatusCode::OK, &json!("to_install"))
    );
    bench.advance(500).await;
    assert_eq!(get(&bench, &path).await["install"]["status"], "completed");
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_found_by_its_tags() {
    let bench = Bench::start().await;
    let target = "POST /baremetal/v1/zones/{zone}/servers";
    bench
        .fault(json!({ "place": "scaleway", "target": target, "action": "lose_reply", "times": 1 }))
        .await;
    let order = order(&bench, "EM-A610R-NVME").await;
    assert!(
        bench
            .try_scaleway(
                Method::POST,
                &format!("{ZONE}/servers"),
                Some(order.clone())
            )
            .await
            .is_err()
    );
    let found = get(
        &bench,
        &format!("{ZONE}/servers?tags=strata-node%3Dcp-1&tags=strata-cluster%3Dlab"),
    )
    .await;
    assert_eq!(found["total_count"], 1);
    assert_eq!(
        get(
            &bench,
            &format!("{ZONE}/servers?tags=strata-node%3Dcp-1&tags=other")
        )
        .await["total_count"],
        0
    );
    bench
        .fault(json!({ "place": "scaleway", "target": target, "action": "disconnect", "times": 1 }))
        .await;
    assert!(
        bench
            .try_scaleway(Method::POST, &format!("{ZONE}/servers"), Some(order))
            .await
            .is_err()
    );
    assert_eq!(
        get(&bench, &format!("{ZONE}/servers")).await["total_count"],
        1,
        "a disconnect comes before the work"
    );
    assert_eq!(bench.calls().await[format!("scaleway {target}")], 2);
}

#[tokio::test]
async fn pages_end_and_clamp() {
    let bench = Bench::start().await;
    let order = order(&bench, "EM-A610R-NVME").await;
    for _ in 0..3 {
        create(&bench, &order).await;
    }
    let page = get(&bench, &format!("{ZONE}/servers?page=2&page_size=2")).await;
    assert_eq!(
        (
            page["servers"].as_array().unwrap().len(),
            &page["total_count"]
        ),
        (1, &json!(3))
    );
    let past = get(&bench, &format!("{ZONE}/servers?page=9&page_size=1000")).await;
    assert_eq!(
        (&past["servers"], &past["total_count"]),
        (&json!([]), &json!(3))
    );
    let (status, refused) = bench
        .scaleway(Method::GET, &format!("{ZONE}/servers?pagesize=2"), None)
        .await;
    assert_eq!(
        (status, &refused["type"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_arguments"))
    );
    assert!(refused.to_string().contains("LAB-UNKNOWN"));
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_strangers_are_kept_out() {
    let bench = Bench::start().await;
    let url = format!("{}{ZONE}/servers", bench.env("SCW_API_URL"));
    for headers in [
        &[][..],
        &[("x-auth-token", "11111111-1111-1111-1111-111111111111")][..],
    ] {
        let answer = bench.raw(&url, headers).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.headers.contains_key("x-request-id"));
        assert!(answer.text.contains("denied_authentication"));
    }
}

#[tokio::test]
async fn a_protected_server_stays_until_it_is_released() {
    let bench = Bench::start().await;
    let mut order = order(&bench, "EM-A610R-NVME").await;
    order["protected"] = json!(true);
    let (path, _) = create(&bench, &order).await;
    let (status, refused) = bench.scaleway(Method::DELETE, &path, None).await;
    assert_eq!(
        (status, &refused["type"]),
        (
            StatusCode::PRECONDITION_FAILED,
            &json!("precondition_failed")
        )
    );
    let (_, released) = bench
        .scaleway(
            Method::PATCH,
            &path,
            Some(json!({ "protected": false, "user_data": "" })),
        )
        .await;
    assert_eq!(
        (
            &released["protected"],
            &released["user_data"],
            &released["tags"]
        ),
        (&json!(false), &Value::Null, &order["tags"])
    );
    assert_eq!(
        bench.scaleway(Method::DELETE, &path, None).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn stock_goes_down_and_comes_back() {
    let bench = Bench::start().await;
    let mut order = order(&bench, "EM-A610R-NVME").await;
    let mut paths = Vec::new();
    for _ in 0..20 {
        paths.push(create(&bench, &order).await.0);
    }
    assert_eq!(
        offer(&bench, "EM-A610R-NVME", "hourly").await["stock"],
        "empty"
    );
    let (status, refused) = bench
        .scaleway(
            Method::POST,
            &format!("{ZONE}/servers"),
            Some(order.clone()),
        )
        .await;
    assert_eq!(
        (status, &refused["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("out_of_stock"))
    );
    bench.scaleway(Method::DELETE, &paths[0], None).await;
    bench.advance(10).await;
    assert_eq!(
        offer(&bench, "EM-A610R-NVME", "hourly").await["stock"],
        "low"
    );
    bench
        .fault(json!({ "place": "scaleway", "action": "out_of_stock", "times": 1 }))
        .await;
    order["offer_id"] = offer(&bench, "EM-B220E-NVME", "hourly").await["id"].clone();
    let (status, _) = bench
        .scaleway(
            Method::POST,
            &format!("{ZONE}/servers"),
            Some(order.clone()),
        )
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    create(&bench, &order).await;
}

#[tokio::test]
async fn monthly_twins_are_found_in_their_list_only() {
    let bench = Bench::start().await;
    let hourly = offer(&bench, "EM-I215E-NVME", "unknown_subscription_period").await;
    let monthly = offer(&bench, "EM-I215E-NVME", "monthly").await;
    assert_eq!(hourly["monthly_offer_id"], monthly["id"]);
    assert_eq!(monthly["fee"], monthly["price_per_month"]);
    assert_eq!(
        get(
            &bench,
            &format!("{ZONE}/offers/{}", hourly["id"].as_str().unwrap())
        )
        .await["name"],
        "EM-I215E-NVME"
    );
    let (status, _) = bench
        .scaleway(
            Method::GET,
            &format!("{ZONE}/offers/{}", monthly["id"].as_str().unwrap()),
            None,
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let systems = get(&bench, &format!("{ZONE}/os")).await;
    let ubuntu = systems["os"]
        .as_array()
        .unwrap()
        .iter()
        .find(|system| system["id"] == UBUNTU)
        .unwrap();
    assert!(
        ubuntu["cloud_init_supported"] == true
            && !hourly["incompatible_os_ids"]
                .as_array()
                .unwrap()
                .contains(&json!(UBUNTU))
    );
}

#[tokio::test]
async fn keys_lose_their_comment_and_may_be_deleted_once() {
    let bench = Bench::start().await;
    let body = json!({ "name": "operator", "public_key": format!("{KEY} me@home") });
    let (_, key) = bench.scaleway(Method::POST, KEYS, Some(body)).await;
    assert_eq!(key["public_key"], KEY);
    assert_eq!(
        get(&bench, &format!("{KEYS}?page_size=100")).await["total_count"],
        1
    );
    let path = format!("{KEYS}/{}", key["id"].as_str().unwrap());
    assert_eq!(
        bench.scaleway(Method::DELETE, &path, None).await.0,
        StatusCode::NO_CONTENT
    );
    let (status, gone) = bench.scaleway(Method::GET, &path, None).await;
    assert_eq!(
        (status, &gone["type"], &gone["resource"]),
        (
            StatusCode::NOT_FOUND,
            &json!("not_found"),
            &json!("ssh_key")
        )
    );
}

#[tokio::test]
async fn the_machine_lives_from_installation_to_deletion() {
    let bench = Bench::start().await;
    let mut order = order(&bench, "EM-A610R-NVME").await;
    order.as_object_mut().unwrap().remove("user_data");
    let (path, _) = create(&bench, &order).await;
    let machines = async || bench.control(Method::GET, "/estate", None).await.1["machines"].clone();
    bench.advance(200).await;
    assert_eq!(machines().await, json!([]));
    bench.advance(200).await;
    assert_eq!(machines().await.as_array().unwrap().len(), 1);
    bench.scaleway(Method::DELETE, &path, None).await;
    assert_eq!(machines().await, json!([]));
}

#[tokio::test]
async fn orders_that_cannot_work_are_refused() {
    let bench = Bench::start().await;
    let good = order(&bench, "EM-A610R-NVME").await;
    let wrong = [
        ("/install/ssh_key_ids", json!([]), "ssh_key_ids"),
        ("/user_data", json!("not base64"), "user_data"),
        ("/project_id", json!("mine"), "project_id"),
        ("/name", json!(""), "name"),
        ("/hostname", json!("x"), "hostname"),
    ];
    for (pointer, value, names) in wrong {
        let mut order = good.clone();
        match order.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => order[&pointer[1..]] = value,
        }
        let (status, refused) = bench
            .scaleway(Method::POST, &format!("{ZONE}/servers"), Some(order))
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{pointer}: {refused}");
        assert!(refused.to_string().contains(names), "{pointer}: {refused}");
    }
    assert_eq!(
        get(&bench, &format!("{ZONE}/servers")).await["total_count"],
        0
    );
}
