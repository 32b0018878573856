//! The CONNECT proxy: answers, refusals, silence; and the probe, which asks the same network.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use strata_lab::network::{Answer, Host};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::Bench;

/// Says who connected on port 7, drops port 22, refuses the rest.
struct Greeter;

impl Host for Greeter {
    fn answer(&self, from: IpAddr, _to: IpAddr, port: u16) -> Answer {
        match port {
            7 => Answer::Accept(Box::new(move |mut stream| {
                Box::pin(async move {
                    let mut first = [0];
                    stream.read_exact(&mut first).await.unwrap();
                    stream
                        .write_all(format!("{}{from}", char::from(first[0])).as_bytes())
                        .await
                        .unwrap();
                })
            })),
            22 => Answer::Drop,
            _ => Answer::Refuse,
        }
    }
}

async fn bench() -> Bench {
    let bench = Bench::start().await;
    for address in ["192.0.2.11", "2001:db8:1::b"] {
        bench
            .lab
            .network()
            .register(address.parse().unwrap(), Arc::new(Greeter));
    }
    bench
}

async fn ask(bench: &Bench, request: &str) -> TcpStream {
    let address = bench.env("STRATA_LAB_PROXY").trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(bench: &Bench, request: &str) -> String {
    let mut text = String::new();
    ask(bench, request)
        .await
        .read_to_string(&mut text)
        .await
        .unwrap();
    text
}

#[tokio::test]
async fn a_tunnel_comes_from_the_operator() {
    let bench = bench().await;
    // The byte behind the head already belongs to the tunnel.
    let v4 = answer(&bench, "CONNECT 192.0.2.11:7 HTTP/1.1\r\nHost: x\r\n\r\n!").await;
    assert!(
        v4.starts_with("HTTP/1.1 200 ") && v4.ends_with("\r\n\r\n!203.0.113.5"),
        "{v4}"
    );
    let v6 = answer(&bench, "CONNECT [2001:db8:1::b]:7 HTTP/1.1\r\n\r\n!").await;
    assert!(v6.ends_with("!2001:db8:ffff::5"), "{v6}");
}

#[tokio::test]
async fn refusals_and_unknown_names_are_told() {
    let bench = bench().await;
    let refused = answer(&bench, "CONNECT 192.0.2.11:80 HTTP/1.1\r\n\r\n").await;
    assert!(
        refused.starts_with("HTTP/1.1 502 ")
            && refused.contains("connection refused by 192.0.2.11:80"),
        "{refused}"
    );
    assert!(
        answer(&bench, "CONNECT localhost:80 HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 502 ")
    );
    assert!(
        answer(&bench, "CONNECT 192.0.2.11 HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400 ")
    );
    assert!(
        answer(&bench, "GET http://192.0.2.11:7/ HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 405 ")
    );
}

#[tokio::test]
async fn dropped_packets_are_silence() {
    let bench = bench().await;
    for target in ["192.0.2.11:22", "192.0.2.99:22"] {
        let mut stream = ask(&bench, &format!("CONNECT {target} HTTP/1.1\r\n\r\n")).await;
        let silence = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        assert!(silence.is_err(), "{target} answered");
    }
}

#[tokio::test]
async fn a_probe_says_what_a_dialer_would_see() {
    let bench = bench().await;
    let probe = async |port: u16| {
        bench
            .control(
                Method::POST,
                "/probe",
                Some(json!({ "to": "192.0.2.11", "port": port })),
            )
            .await
            .1
    };
    assert_eq!(probe(7).await["connected"], true);
    assert_eq!(
        probe(22).await,
        json!({ "connected": false, "reason": "no answer from 192.0.2.11:22" })
    );
    let (status, unknown) = bench
        .control(
            Method::POST,
            "/probe",
            Some(json!({ "from": "cp-9", "to": "192.0.2.11", "port": 7 })),
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{unknown}");
    let (_, operator) = bench.control(Method::GET, "/operator-address", None).await;
    assert_eq!(
        operator,
        json!({ "ipv4": "203.0.113.5", "ipv6": "2001:db8:ffff::5" })
    );
}

#[tokio::test]
async fn a_dropped_lab_is_gone() {
    let bench = bench().await;
    let mut stream = ask(&bench, "CONNECT 192.0.2.11:22 HTTP/1.1\r\n\r\n").await;
    drop(bench);
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
}
