//! What belongs to a server beside its system: options, private networks, partitioning, billing, reverse names.

use super::*;

const REMOTE_ACCESS: &str = "931df052-d713-4674-8b58-96a63244c8e2";

/// The option of this name, by its id.
async fn option(bench: &Bench, name: &str) -> String {
    let offer = offer(bench, "EM-A610R-NVME", "hourly").await;
    let options = offer["options"].as_array().unwrap();
    let option = options.iter().find(|option| option["name"] == name);
    option.unwrap()["id"].as_str().unwrap().to_owned()
}

/// A server that is installed, and its path.
async fn installed(bench: &Bench) -> String {
    let order = order(bench, "EM-A610R-NVME").await;
    let (path, _) = create(bench, &order).await;
    bench.advance(500).await;
    path
}

async fn network(bench: &Bench) -> Value {
    let body = json!({ "name": "n" });
    let path = "/vpc/v2/regions/fr-par/private-networks";
    bench.scaleway(Method::POST, path, Some(body)).await.1
}

#[tokio::test]
async fn an_option_comes_and_goes_with_its_label() {
    let bench = Bench::start().await;
    let order = order(&bench, "EM-A610R-NVME").await;
    let (path, _) = create(&bench, &order).await;
    let remote = format!("{path}/options/{REMOTE_ACCESS}");
    let (status, early) = bench.scaleway(Method::POST, &remote, None).await;
    assert_eq!(
        (status, &early["message"]),
        (StatusCode::BAD_REQUEST, &json!("Server is not delivered"))
    );
    bench.advance(20).await;
    let (status, server) = bench.scaleway(Method::POST, &remote, None).await;
    assert_eq!(
        (status, &server["options"][0]["status"]),
        (StatusCode::OK, &json!("option_status_enabling"))
    );
    assert!(
        !server["tags"]
            .as_array()
            .unwrap()
            .contains(&json!("RemoteAccess"))
    );
    bench.advance(5).await;
    let server = get(&bench, &path).await;
    assert_eq!(server["options"][0]["status"], "option_status_enable");
    assert_eq!(server["options"][0]["remote_access"], json!({}));
    assert!(
        server["tags"]
            .as_array()
            .unwrap()
            .contains(&json!("RemoteAccess"))
    );
    // Setting tags does not touch the label.
    let (_, server) = bench
        .scaleway(Method::PATCH, &path, Some(json!({ "tags": [] })))
        .await;
    assert_eq!(server["tags"], json!(["RemoteAccess"]));
    assert_eq!(
        bench.scaleway(Method::POST, &remote, None).await.0,
        StatusCode::CONFLICT
    );
    let listed = get(&bench, &format!("{ZONE}/servers?option_id={REMOTE_ACCESS}")).await;
    assert_eq!(listed["total_count"], 1);
    let (_, server) = bench.scaleway(Method::DELETE, &remote, None).await;
    assert_eq!(server["options"][0]["status"], "option_status_disabling");
    bench.advance(7).await;
    let server = get(&bench, &path).await;
    assert_eq!(
        (&server["options"], &server["tags"]),
        (&json!([]), &json!([]))
    );
    let unknown = format!("{path}/options/{UBUNTU}");
    let (status, refused) = bench.scaleway(Method::POST, &unknown, None).await;
    assert_eq!(
        (status, &refused["resource"]),
        (StatusCode::NOT_FOUND, &json!("option"))
    );
}

#[tokio::test]
async fn an_option_ends_when_its_time_is_over() {
    let bench = Bench::start().await;
    let path = installed(&bench).await;
    let now = bench.lab.clock().now();
    let end = now.checked_add(std::time::Duration::from_hours(1)).unwrap();
    let remote = format!("{path}/options/{REMOTE_ACCESS}");
    let body = json!({ "expires_at": format!("{end:.6}") });
    let (status, server) = bench
        .scaleway(Method::POST, &remote, Some(body.clone()))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(server["options"][0]["expires_at"], body["expires_at"]);
    bench.advance(3590).await;
    assert_eq!(
        get(&bench, &path).await["options"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    bench.advance(15).await;
    get(&bench, &path).await;
    bench.advance(10).await;
    assert_eq!(get(&bench, &path).await["options"], json!([]));
}

#[tokio::test]
async fn a_server_joins_and_leaves_private_networks() {
    let bench = Bench::start().await;
    let path = installed(&bench).await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    let (first, second) = (network(&bench).await, network(&bench).await);
    let attach = format!("/baremetal/v3/zones/fr-par-2/servers/{id}/private-networks");
    let list = "/baremetal/v3/zones/fr-par-2/server-private-networks";
    let whole = |networks: &[(&Value, Value)]| {
        let networks = networks
            .iter()
            .map(|(network, ips)| (network["id"].as_str().unwrap().to_owned(), ips.clone()));
        json!({ "per_private_network_ipam_ip_ids": networks.collect::<serde_json::Map<_, _>>() })
    };
    let (status, _) = bench
        .scaleway(Method::PUT, &attach, Some(whole(&[(&first, json!([]))])))
        .await;
    assert_eq!(
        status,
        StatusCode::PRECONDITION_FAILED,
        "the option is missing"
    );
    let option = format!("{path}/options/{}", option(&bench, "Private Network").await);
    bench.scaleway(Method::POST, &option, None).await;
    // It is taken while the option is still coming.
    let (status, made) = bench
        .scaleway(Method::PUT, &attach, Some(whole(&[(&first, json!([]))])))
        .await;
    let one = &made["server_private_networks"][0];
    assert_eq!(
        (status, &one["status"], one["vlan"].is_u64()),
        (StatusCode::OK, &json!("attaching"), true)
    );
    assert_eq!(one["ipam_ip_ids"].as_array().unwrap().len(), 2);
    bench.advance(15).await;
    assert_eq!(
        get(&bench, list).await["server_private_networks"][0]["status"],
        "attached"
    );
    let addresses = get(
        &bench,
        "/ipam/v1/regions/fr-par/ips?resource_type=baremetal_private_nic",
    )
    .await;
    let resource = &addresses["ips"][0]["resource"];
    assert_eq!(
        (&addresses["total_count"], &resource["id"]),
        (&json!(2), &one["id"])
    );
    assert_eq!(resource["mac_address"].as_str().unwrap().len(), 17);

    // The whole set: the first is left, the second gets a reserved address.
    let reserve = json!({ "source": { "private_network_id": second["id"] } });
    let (_, address) = bench
        .scaleway(Method::POST, "/ipam/v1/regions/fr-par/ips", Some(reserve))
        .await;
    let (_, made) = bench
        .scaleway(
            Method::PUT,
            &attach,
            Some(whole(&[(&second, json!([address["id"]]))])),
        )
        .await;
    let mut shown: Vec<_> = made["server_private_networks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].as_str().unwrap())
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, ["attaching", "detaching"]);
    assert_eq!(
        bench.scaleway(Method::DELETE, &option, None).await.0,
        StatusCode::PRECONDITION_FAILED,
        "still attached"
    );
    bench.advance(15).await;
    let left = get(&bench, list).await;
    assert_eq!(
        (
            &left["total_count"],
            &left["server_private_networks"][0]["ipam_ip_ids"]
        ),
        (&json!(1), &json!([address["id"]]))
    );
    let network = format!(
        "/vpc/v2/regions/fr-par/private-networks/{}",
        second["id"].as_str().unwrap()
    );
    assert_eq!(
        bench.scaleway(Method::DELETE, &network, None).await.0,
        StatusCode::PRECONDITION_FAILED
    );
    let detach = format!("{attach}/{}", second["id"].as_str().unwrap());
    assert_eq!(
        bench.scaleway(Method::DELETE, &detach, None).await.0,
        StatusCode::NO_CONTENT
    );
    bench.advance(15).await;
    assert_eq!(
        bench.scaleway(Method::DELETE, &network, None).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        bench.scaleway(Method::DELETE, &option, None).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_layout_is_checked_and_what_is_not_understood_is_silently_dropped() {
    let bench = Bench::start().await;
    let offer_id = offer(&bench, "EM-A610R-NVME", "hourly").await["id"].clone();
    let layout = json!({
        "disks": [{ "device": "/dev/nvme0n1", "partitions": [{ "label": "root", "number": 1, "size": 0, "use_all_available_space": true }] }],
        "raids": [],
        "filesystems": [{ "device": "/dev/nvme0n1p1", "format": "ext4", "mountpoint": "/" }],
    });
    let validate = format!("{ZONE}/partitioning-schemas/validate");
    let ask = async |layout: &Value| {
        let body = json!({ "offer_id": offer_id, "os_id": UBUNTU, "partitioning_schema": layout });
        bench.scaleway(Method::POST, &validate, Some(body)).await.0
    };
    assert_eq!(ask(&layout).await, StatusCode::NO_CONTENT);
    let mut wrong = layout.clone();
    wrong["disks"][0]["device"] = json!("/dev/sda");
    assert_eq!(ask(&wrong).await, StatusCode::BAD_REQUEST);
    let mut order = order(&bench, "EM-A610R-NVME").await;
    order["install"]["partitioning_schema"] = layout.clone();
    let (_, server) = create(&bench, &order).await;
    assert_eq!(server["install"]["partitioning_schema"], layout);
    // The trap: a key that the API does not know, and the default layout without a word.
    let mut strange = layout.clone();
    strange["lvm"] = json!([]);
    assert_eq!(ask(&strange).await, StatusCode::NO_CONTENT);
    order["install"]["partitioning_schema"] = strange;
    let (_, server) = create(&bench, &order).await;
    assert_eq!(
        server["install"]["partitioning_schema"]["raids"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    order["offer_id"] = offer(&bench, "EM-A115X-SSD", "hourly").await["id"].clone();
    order.as_object_mut().unwrap().remove("user_data");
    let (status, refused) = bench
        .scaleway(Method::POST, &format!("{ZONE}/servers"), Some(order))
        .await;
    assert_eq!(
        (status, &refused["message"]),
        (
            StatusCode::NOT_FOUND,
            &json!("Custom Partitioning not supported")
        )
    );
}

#[tokio::test]
async fn billing_goes_one_way_and_a_reverse_name_must_resolve() {
    let bench = Bench::start().await;
    let path = installed(&bench).await;
    let migrate = format!("{path}/migrate-offer-monthly");
    let (status, server) = bench.scaleway(Method::POST, &migrate, None).await;
    assert_eq!(
        (status, &server["status"]),
        (StatusCode::OK, &json!("migrating"))
    );
    bench.advance(5).await;
    let server = get(&bench, &path).await;
    let monthly = offer(&bench, "EM-A610R-NVME", "monthly").await;
    assert_eq!(
        (
            &server["status"],
            &server["offer_id"],
            &server["offer_name"]
        ),
        (&json!("ready"), &monthly["id"], &monthly["name"])
    );
    assert_eq!(
        bench.scaleway(Method::POST, &migrate, None).await.0,
        StatusCode::PRECONDITION_FAILED
    );

    let ip = server["ips"]
        .as_array()
        .unwrap()
        .iter()
        .find(|ip| ip["version"] == "IPv4")
        .unwrap();
    let reverse = format!("{path}/ips/{}", ip["id"].as_str().unwrap());
    let body = json!({ "reverse": "cp-1.example.org" });
    let (status, refused) = bench.scaleway(Method::PATCH, &reverse, Some(body)).await;
    assert_eq!(
        (status, &refused["details"][0]["argument_name"]),
        (StatusCode::BAD_REQUEST, &json!("reverse"))
    );
    let body = json!({ "reverse": server["domain"] });
    let (status, shown) = bench.scaleway(Method::PATCH, &reverse, Some(body)).await;
    assert_eq!(
        (status, &shown["reverse"]),
        (StatusCode::OK, &server["domain"])
    );
}

#[tokio::test]
async fn a_delivery_may_end_badly() {
    let bench = Bench::start().await;
    let fault = json!({ "place": "machine", "action": { "delivery_end": { "status": "locked", "after": 3 } }, "times": 1 });
    bench.fault(fault).await;
    let order = order(&bench, "EM-A610R-NVME").await;
    let (path, _) = create(&bench, &order).await;
    bench.advance(600).await;
    let server = get(&bench, &path).await;
    assert_eq!(
        (&server["status"], &server["install"]["status"]),
        (&json!("locked"), &json!("to_install"))
    );
}

#[tokio::test]
async fn a_session_with_the_machine_needs_the_option_and_ends() {
    let bench = Bench::start().await;
    let path = installed(&bench).await;
    let session = format!("{path}/bmc-access");
    let ip = json!({ "ip": "198.51.100.7" });
    let (status, refused) = bench
        .scaleway(Method::POST, &session, Some(ip.clone()))
        .await;
    assert_eq!(
        (status, &refused["type"]),
        (
            StatusCode::PRECONDITION_FAILED,
            &json!("precondition_failed")
        )
    );
    let remote = format!("{path}/options/{REMOTE_ACCESS}");
    bench.scaleway(Method::POST, &remote, None).await;
    bench.advance(5).await;
    let (status, asked) = bench.scaleway(Method::POST, &session, Some(ip)).await;
    assert_eq!((status, &asked["url"]), (StatusCode::OK, &json!("")));
    bench.advance(10).await;
    let open = get(&bench, &session).await;
    assert!(open["url"].as_str().unwrap().starts_with("https://"));
    assert!(!open["password"].as_str().unwrap().is_empty());
    let gone = async || bench.scaleway(Method::GET, &session, None).await.0;
    bench.advance(3700).await;
    assert_eq!(gone().await, StatusCode::NOT_FOUND);
    let (status, _) = bench.scaleway(Method::DELETE, &session, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
}
