//! Refreshing a thousand servers, as one process of the provider does it: the number that `make bench` prints.

use futures::StreamExt as _;

use super::*;
use crate::services::scaleway::order::Marks;

/// DESIGN's target.
const TARGET: u64 = 30;
const ZONE: &str = "fr-par-2";
const OFFER: &str = "EM-I215E-NVME";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_servers_are_refreshed_by_the_pages_of_their_listings() {
    let world = World::start().await;
    let setup = process(&world, "estate-1").await;
    let config = keyed(&setup, config("x")).await;
    let cx = setup.cx::<BaremetalServer>();
    let scaleway = cx.provider.scaleway().await.unwrap();
    let project = scaleway.project(None).unwrap();

    // Ordered straight from the API: what it costs to order them is measured elsewhere.
    let stock = json!({"zone": ZONE, "offer": OFFER, "machines": 1000});
    world.change(json!({"set_stock": stock})).await;
    let offers = scaleway.client.hourly(ZONE).await.unwrap();
    let offer = &offers.iter().find(|offer| offer.name == OFFER).unwrap().id;
    let systems = scaleway.client.systems(ZONE).await.unwrap();
    let os = systems.iter().find(|os| os.is_called("Ubuntu 22.04"));
    let (project, config) = (&project, &config);
    let made = futures::stream::iter(0..1000).map(|index| async move {
        let marks = Marks {
            cluster: "home".into(),
            owner: "estate-1".into(),
            node: format!("w-{index}"),
        };
        let server = NewServer {
            offer_id: offer.clone(),
            project_id: project.clone(),
            name: format!("home-w-{index}"),
            description: String::new(),
            tags: marks.tags().into(),
            install: Some(config.install(config, os)),
            option_ids: Vec::new(),
            protected: false,
            user_data: None,
        };
        let server = scaleway.client.create_server(ZONE, &server).await.unwrap();
        BaremetalServer {
            zone: ZONE.into(),
            id: server.id.clone().into(),
            node: marks.node.into(),
            name: server.name.clone().into(),
            offer: OFFER.into(),
            offer_id: server.offer_id.clone().into(),
            ..config.clone()
        }
    });
    let states: Vec<BaremetalServer> = made.buffer_unordered(50).collect().await;

    world.calls("").await;
    let refresh = Process::shared(std::sync::Arc::new(world.provider("estate-1").await));
    let started = std::time::Instant::now();
    for state in states {
        let found = BaremetalServer::read(&refresh.cx(), state).await.unwrap();
        assert!(matches!(found, Found::Present(_)));
    }
    let wall = started.elapsed();
    let calls = world.all_calls().await;
    let count: u64 = calls
        .iter()
        .filter(|(call, _)| call.starts_with("scaleway "))
        .map(|(_, count)| count)
        .sum();
    // Read by `make bench`.
    eprintln!(
        "| refresh 1,000 servers, {:.1} s | {count} | 4,000 to 7,000 | {TARGET} |",
        wall.as_secs_f64()
    );
    assert!(count <= TARGET, "{calls:?}");
}
