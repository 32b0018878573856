//! The client against scripted servers: what is sent again, what is not, and what an error says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::HeaderName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Serves the answers in turn, one connection each (the last one for ever); an empty answer hangs up. Counts requests.
async fn serve(answers: &'static [&'static str]) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 8192];
            if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                continue;
            }
            let index = seen.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            stream.write_all(answers[index].as_bytes()).await.unwrap();
        }
    });
    let settings = Settings {
        service: "test",
        base,
        header: HeaderName::from_static("x-auth-token"),
        token: Secret::new("s3cr3t-token".into()),
        speed: 10_000.0,
    };
    (Client::new(Dialer::loopback(), settings).unwrap(), count)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{\"a\": 1}";
const OUTAGE: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const VERDICT: &str = "HTTP/1.1 503 Unavailable\r\nX-Request-Id: r-1\r\nContent-Length: 24\r\nConnection: close\r\n\r\n{\"message\": \"no stock\"}\r\n";
const SLOW_DOWN: &str =
    "HTTP/1.1 429 Slow\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn reads_are_repeated_after_an_outage_or_a_lost_reply() {
    let (client, count) = serve(&[OUTAGE, "", OK]).await;
    assert_eq!(
        client.get("x").send::<Value>().await.unwrap(),
        json!({"a": 1})
    );
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_creation_is_sent_once_and_its_loss_is_told() {
    for answer in [&[OUTAGE, OK], &["", OK]] {
        let (client, count) = serve(answer).await;
        let error = client
            .post("x")
            .json(&json!({}))
            .send::<Value>()
            .await
            .unwrap_err();
        assert!(error.is_lost(), "{error}");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_503_with_a_message_is_a_verdict() {
    let (client, count) = serve(&[VERDICT]).await;
    let error = client.get("x?y=z").send::<Value>().await.unwrap_err();
    assert!(!error.is_lost() && !error.is_transient());
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(
        error.to_string(),
        "test: GET x?y=z answered 503 Service Unavailable: no stock (request r-1)"
    );
}

#[tokio::test]
async fn slow_down_is_obeyed_even_by_creations() {
    let (client, count) = serve(&[SLOW_DOWN, SLOW_DOWN, OK]).await;
    client
        .post("x")
        .json(&json!({}))
        .send::<Value>()
        .await
        .unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_endless_outage_ends_with_the_last_answer() {
    let (client, count) = serve(&[OUTAGE]).await;
    let error = client.get("x").send::<Value>().await.unwrap_err();
    assert_eq!(error.status().unwrap(), 502);
    assert_eq!(count.load(Ordering::SeqCst), ATTEMPTS as usize);
}

#[tokio::test]
async fn a_refused_address_is_not_tried_again() {
    let settings = Settings {
        service: "test",
        base: "http://127.0.0.1:9".into(),
        header: AUTHORIZATION,
        token: Secret::new("t".into()),
        speed: 1.0,
    };
    let client = Client::new(Dialer::direct(), settings).unwrap();
    let error = client.get("x").send::<Value>().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("not in the lab"), "{error}");
}

const VAULT: &str = "HTTP/1.1 503 Unavailable\r\nContent-Length: 31\r\nConnection: close\r\n\r\n{\"errors\": [\"Vault is sealed\"]}";

#[tokio::test]
async fn errors_as_texts_are_a_verdict_and_readable() {
    let (client, count) = serve(&[VAULT]).await;
    let error = client.get("x").send::<Value>().await.unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(error.to_string().ends_with(": Vault is sealed"), "{error}");
}

const HALF: &str =
    "HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{\"errors\":";

#[tokio::test]
async fn half_a_verdict_is_none() {
    let (client, count) = serve(&[HALF, OK]).await;
    client.get("x").send::<Value>().await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let (client, _) = serve(&[HALF]).await;
    let error = client.post("x").send::<Value>().await.unwrap_err();
    assert!(error.is_lost() && !error.is_not_found(), "{error}");
}

const ELSEWHERE: &str = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /y\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const DOWN: &str = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://192.0.2.1/y\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_redirect_is_followed_to_the_same_place_and_not_in_circles() {
    let (client, count) = serve(&[ELSEWHERE, OK]).await;
    client
        .post("x")
        .json(&json!({}))
        .send::<Value>()
        .await
        .unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    for answers in [&[ELSEWHERE], &[DOWN]] {
        let (client, _) = serve(answers).await;
        let error = client.put("x").send::<Value>().await.unwrap_err();
        assert!(error.to_string().contains("redirect"), "{error}");
    }
}

#[tokio::test]
async fn a_service_that_answers_nothing_is_not_waited_for_by_every_request() {
    PATIENCE.set(Duration::from_millis(800)).unwrap();
    // It takes connections and requests, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
            seen.fetch_add(1, Ordering::SeqCst);
        }
    });
    let dialer = Dialer::loopback();
    // A client of its own for each request, as a store that could not be opened has.
    let ask = async || {
        let settings = Settings {
            service: "test",
            base: base.clone(),
            header: AUTHORIZATION,
            token: Secret::new("t".into()),
            speed: 10_000.0,
        };
        let client = Client::new(dialer.clone(), settings).unwrap();
        client.get("x").send::<Value>().await.unwrap_err()
    };
    let error = ask().await;
    assert_eq!(count.load(Ordering::SeqCst), 2, "once more, in a hurry");
    assert!(error.is_lost(), "{error}");
    for _ in 0..50 {
        let error = ask().await.to_string();
        assert!(error.contains("it answers nothing"), "{error}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 2, "nothing more was sent");
}

#[test]
fn query_values_are_escaped() {
    assert_eq!(escape("strata-node=cp-1"), "strata-node%3Dcp-1");
}
