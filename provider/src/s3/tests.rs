//! The client against the lab, against moto, and against storages that lie, stall or tell another time.

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::lab_test::World;
use crate::secret::Secret;

const PUT: &str = "PUT /{bucket}/{key}";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

fn keys(id: &str, secret: &str) -> Keys {
    Keys {
        id: id.into(),
        secret: Secret::new(secret.into()),
        token: None,
        source: Source::Lab,
    }
}

/// The lab's bucket with the lab's key, or with what is changed.
async fn of_lab(world: &World, place: &str, changes: &[(&str, &str)]) -> Bucket {
    let environment = world.environment().await.with(changes);
    let key = |name| environment.get(name).unwrap().to_owned();
    let keys = keys(&key("AWS_ACCESS_KEY_ID"), &key("AWS_SECRET_ACCESS_KEY"));
    Bucket::new(&environment, keys, Location::parse(place).unwrap()).unwrap()
}

/// A storage at this address, which any key opens.
fn at(address: &str) -> Bucket {
    let environment = Environment::loopback().with(&[("AWS_ENDPOINT_URL_S3", address)]);
    let location = Location::parse("s3://bucket/prod").unwrap();
    Bucket::new(&environment, keys("id", SECRET), location).unwrap()
}

fn names(objects: &[Object]) -> Vec<&str> {
    objects.iter().map(|object| object.name.as_str()).collect()
}

/// All that is done with a bucket, wherever it is.
async fn goes_round(bucket: &Bucket) {
    assert_eq!(bucket.list().await.unwrap(), []);
    let body: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    bucket.put("b.age", body.clone()).await.unwrap();
    bucket.put("a+ü.age", b"1".to_vec()).await.unwrap();
    bucket.put("a+ü.age", b"12".to_vec()).await.unwrap();
    let objects = bucket.list().await.unwrap();
    assert_eq!(names(&objects), ["a+ü.age", "b.age"]);
    assert_eq!((objects[0].size, objects[1].size), (2, 300_000));
    assert_eq!(bucket.get("b.age").await.unwrap(), body);
    let missing = bucket.get("c.age").await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    bucket.try_to_write().await.unwrap();
    assert_eq!(bucket.list().await.unwrap().len(), 2);
    bucket.delete("b.age").await.unwrap();
    bucket.delete("b.age").await.unwrap();
    assert_eq!(names(&bucket.list().await.unwrap()), ["a+ü.age"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_is_listed_read_and_deleted() {
    let world = World::start().await;
    let bucket = of_lab(&world, "s3://strata-lab/prod", &[]).await;
    goes_round(&bucket).await;
    // The prefix is a folder: what is beside it or below it is not its own.
    let beside = of_lab(&world, "s3://strata-lab/production", &[]).await;
    beside.put("x", b"x".to_vec()).await.unwrap();
    let below = of_lab(&world, "s3://strata-lab/prod/old", &[]).await;
    below.put("y", b"y".to_vec()).await.unwrap();
    assert_eq!(names(&bucket.list().await.unwrap()), ["a+ü.age"]);
    // More than one page.
    let many = of_lab(&world, "s3://strata-lab/many", &[]).await;
    for number in 0..1003 {
        many.put(&format!("{number:04}"), vec![1]).await.unwrap();
    }
    let all = many.list().await.unwrap();
    assert_eq!((all.len(), all[1002].name.as_str()), (1003, "1002"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_stumbles_is_asked_again() {
    let world = World::start().await;
    let bucket = of_lab(&world, "s3://strata-lab/prod", &[]).await;
    for action in [
        json!({ "status": { "code": 503 } }),
        json!({ "late_status": { "code": 500 } }),
        json!("lose_reply"),
        json!("disconnect"),
    ] {
        for _ in 0..2 {
            world.fault("s3", PUT, action.clone()).await;
        }
        bucket
            .put("a.age", b"whole".to_vec())
            .await
            .unwrap_or_else(|error| panic!("{action}: {error}"));
        assert_eq!(names(&bucket.list().await.unwrap()), ["a.age"]);
    }
    // For ever is too long, and an answer cut short is no snapshot.
    world
        .fault_for_ever("s3", PUT, json!({ "status": { "code": 503 } }))
        .await;
    let error = bucket.put("b.age", b"b".to_vec()).await.unwrap_err();
    assert_eq!(error.code(), Some("SlowDown"));
    assert!(error.hint().contains("later"), "{}", error.hint());
    world
        .fault("s3", "GET /{bucket}/{key}", json!("truncate"))
        .await;
    let error = bucket.get("a.age").await.unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_names_what_to_change_and_no_secret() {
    let world = World::start().await;
    let place = "s3://strata-lab/prod";
    for (place, changes, code, hint) in [
        (
            place,
            [("AWS_SECRET_ACCESS_KEY", SECRET)],
            "SignatureDoesNotMatch",
            "AWS_SECRET_ACCESS_KEY",
        ),
        (
            place,
            [("AWS_ACCESS_KEY_ID", "nobody")],
            "InvalidAccessKeyId",
            "AWS_ACCESS_KEY_ID",
        ),
        (
            place,
            [("AWS_REGION", "eu-west-3")],
            "AuthorizationHeaderMalformed",
            "AWS_REGION",
        ),
        (
            "s3://missing/prod",
            [("AWS_UNUSED", "")],
            "NoSuchBucket",
            "backup.etcd.to",
        ),
    ] {
        let bucket = of_lab(&world, place, &changes).await;
        let listed = bucket.list().await.unwrap_err();
        let written = bucket.try_to_write().await.unwrap_err();
        for error in [listed, written] {
            assert_eq!(error.code(), Some(code), "{error}");
            assert!(error.hint().contains(hint), "{}", error.hint());
            let text = format!("{error} {error:?}");
            let real = world.environment().await;
            let real = real.get("AWS_SECRET_ACCESS_KEY").unwrap();
            assert!(
                !text.contains(SECRET) && !text.contains(real) && !text.contains("X-Amz"),
                "{text}"
            );
        }
    }
    world
        .fault("s3", PUT, json!({ "status": { "code": 403 } }))
        .await;
    let bucket = of_lab(&world, place, &[]).await;
    let error = bucket.try_to_write().await.unwrap_err();
    assert!(error.hint().contains("s3:PutObject"), "{error}");
}

#[tokio::test]
async fn half_a_key_is_no_key_and_the_store_has_both_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let (path, identity) = (folder.path().join("store"), folder.path().join("identity"));
    let store = crate::store::file::File::new(path, identity, &[]).unwrap();
    let find = async |variables: &[(&str, &str)]| {
        keys::find(&Environment::loopback().with(variables), &store).await
    };
    assert!(matches!(find(&[]).await, Err(Error::NoKeys)));
    let half = find(&[("AWS_ACCESS_KEY_ID", "id")]).await.unwrap_err();
    assert!(
        half.to_string().contains("AWS_SECRET_ACCESS_KEY is not"),
        "{half}"
    );
    for (entry, value) in [
        ("s3/access-key-id", "of store"),
        ("s3/secret-access-key", SECRET),
    ] {
        let name = crate::store::Name::parse(entry).unwrap();
        store.put(&name, &Secret::new(value.into())).await.unwrap();
        if entry == "s3/access-key-id" {
            assert!(matches!(find(&[]).await, Err(Error::HalfKey { .. })));
        }
    }
    assert_eq!(find(&[]).await.unwrap().id, "of store");
    let variables = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "x")];
    assert_eq!(find(&variables).await.unwrap().id, "id");
}

#[test]
fn without_an_address_it_is_aws_and_that_needs_a_region() {
    let location = || Location::parse("s3://bucket/prod").unwrap();
    let with = |variables: &[(&str, &str)]| {
        let environment = Environment::loopback().with(variables);
        Bucket::new(&environment, keys("id", SECRET), location())
    };
    assert!(matches!(with(&[]), Err(Error::NoRegion)));
    let url = |bucket: Bucket| bucket.signer.object_url("x").to_string();
    let aws = with(&[("AWS_REGION", "eu-west-3")]).unwrap();
    assert_eq!(url(aws), "https://bucket.s3.eu-west-3.amazonaws.com/x");
    let other = with(&[("AWS_ENDPOINT_URL", "https://s3.fr-par.scw.cloud/")]).unwrap();
    assert_eq!(url(other), "https://s3.fr-par.scw.cloud/bucket/x");
    let odd = with(&[("AWS_ENDPOINT_URL_S3", "s3.fr-par.scw.cloud")]);
    assert!(matches!(odd, Err(Error::Endpoint { .. })));
}

/// Answers every request with what `answer` says to its first line, and keeps those lines.
async fn scripted(answer: fn(&str) -> String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else {
                        return;
                    };
                    head.push(byte);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |text| text.parse().unwrap());
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                let first = head.lines().next().unwrap().to_uppercase();
                let text = answer(&first);
                seen.lock().unwrap().push(first);
                stream.write_all(text.as_bytes()).await.unwrap();
                let _closed = stream.shutdown().await;
            });
        }
    });
    (address, lines)
}

#[tokio::test]
async fn what_the_storage_lost_is_no_snapshot() {
    let (address, lines) = scripted(|line| {
        let headers = if line.starts_with("HEAD") {
            "content-length: 3"
        } else {
            "content-length: 0"
        };
        format!("HTTP/1.1 200 OK\r\n{headers}\r\nconnection: close\r\n\r\n")
    })
    .await;
    let error = at(&address)
        .put("a.age", b"whole".to_vec())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("3 bytes instead of 5") && text.contains("it was removed"),
        "{text}"
    );
    let lines = lines.lock().unwrap();
    assert!(
        lines[2].starts_with("DELETE /BUCKET/PROD/A.AGE"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_what_the_error_says() {
    let (address, _) = scripted(|_| {
        let body = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
        let date = "Thu, 26 Nov 2020 10:00:00 GMT";
        format!(
            "HTTP/1.1 403 Forbidden\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    })
    .await;
    let error = at(&address).list().await.unwrap_err();
    assert!(
        error.to_string().contains("min ahead of the storage's"),
        "{error}"
    );
    assert!(error.hint().contains("clock"), "{}", error.hint());
}

#[tokio::test]
async fn what_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let bucket = at(&address).with_patience(Duration::from_millis(100));
    let error = bucket.list().await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Silent { attempts: 3, .. }), "{text}");
    assert!(text.contains(&address), "{text}");
    drop(listener);
    let error = bucket.list().await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    let (html, _) = scripted(|_| {
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>".into()
    })
    .await;
    let error = at(&html).list().await.unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
}

/// moto's server, stopped when it goes.
struct Moto {
    process: Child,
    address: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

impl Moto {
    fn start() -> Self {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let test = std::env::current_exe().unwrap();
        let target = test.ancestors().nth(3).unwrap();
        let made = Command::new(project.join(".ci/python"))
            .arg(target.join("python"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let python = String::from_utf8(made.stdout).unwrap();
        let mut process = Command::new(python.trim())
            .args([
                "-B",
                "-u",
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                "0",
            ])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("Running on ")?.1.trim().to_owned()))
            .expect("moto says where it listens");
        // Nobody reads what else it says, and a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_agrees() {
    let moto = tokio::task::spawn_blocking(Moto::start).await.unwrap();
    let bucket = at(&moto.address);
    let error = bucket.list().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchBucket"), "{error}");
    // Making buckets is no business of ours, so the request is made by hand.
    let action = rusty_s3::actions::CreateBucket::new(&bucket.signer, &bucket.credentials);
    let call = Call::new("make", "bucket".into())
        .with("content-length", "0".into())
        .body(Bytes::new());
    bucket.line.send(&call, || action.sign(LIFE)).await.unwrap();
    goes_round(&bucket).await;
}
