//! Malformed messages of every kind are answered with a diagnostic or a gRPC error: no panic, no hang, and the provider
//! serves on.
//!
//! The methods are taken from the `.proto` file and the values of each request are replaced one at a time, so that the
//! others cannot hide what becomes of it.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "malformed/client.rs"]
mod client;
#[path = "malformed/request.rs"]
mod request;
#[path = "malformed/world.rs"]
mod world;

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use strata_proto::tfplugin6 as wire;
use tonic::{Code, Status};

use client::Client;
use request::{
    NULL, Requests, complains, dynamic, is_served, map, msgpack, show, text, values, with,
};

/// A debug build on a busy machine is slow; a hang is not slow but endless.
const LIMIT: Duration = Duration::from_mins(1);

/// What panicked so far, wherever it was caught.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_for_panics() {
    static ONCE: LazyLock<()> = LazyLock::new(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.lock().unwrap().push(info.to_string());
            usual(info);
        }));
    });
    LazyLock::force(&ONCE);
}

struct Test {
    client: Client,
    requests: Requests,
}

impl Test {
    async fn unconfigured() -> Self {
        watch_for_panics();
        let client = Client::start().await;
        let requests = Requests::new(&client).await;
        Self { client, requests }
    }

    async fn configured() -> Self {
        let test = Self::unconfigured().await;
        let method = test.client.method("ConfigureProvider");
        let request = test.requests.valid(method).encode_to_vec();
        let answer = test.client.send(method, request).await;
        assert!(!complains(&answer), "{}", show(&answer));
        test
    }

    /// Sends it; the answer comes in time and is not that of a broken server.
    async fn send(
        &self,
        method: &MethodDescriptor,
        bytes: Vec<u8>,
        what: &str,
    ) -> Result<Vec<DynamicMessage>, Status> {
        let sent = tokio::time::timeout(LIMIT, self.client.send(method, bytes)).await;
        let answer = sent.unwrap_or_else(|_| panic!("{} hangs on {what}", method.name()));
        if let Err(status) = &answer {
            let broken = matches!(
                status.code(),
                Code::Unavailable | Code::Cancelled | Code::Unknown
            );
            assert!(!broken, "{} breaks on {what}: {status:?}", method.name());
        }
        answer
    }

    /// Nothing panicked and the provider still does its work.
    async fn is_unharmed(&self) {
        assert_eq!(*PANICS.lock().unwrap(), Vec::<String>::new());
        let method = self.client.method("ReadResource");
        let request = self.requests.valid(method).encode_to_vec();
        let answer = self.client.send(method, request).await;
        assert!(!complains(&answer), "{}", show(&answer));
    }
}

/// Values that are values of no type at all.
fn garbage() -> Vec<(&'static str, wire::DynamicValue)> {
    let json = |json: &str| wire::DynamicValue {
        msgpack: Vec::new(),
        json: json.as_bytes().to_vec(),
    };
    vec![
        ("a reserved byte", msgpack(vec![0xc1])),
        (
            "random bytes",
            msgpack(vec![0x17, 0x9c, 0xfe, 0x03, 0x00, 0xd7]),
        ),
        ("a text", msgpack(text("x"))),
        ("an array", msgpack(vec![0x91, 0xc0])),
        ("a bool", msgpack(vec![0xc3])),
        ("two values", msgpack(vec![0xc0, 0xc0])),
        ("an empty object", msgpack(vec![0x80])),
        ("an object of a stranger", msgpack(map(&[("nobody", NULL)]))),
        (
            "a map with numbers as keys",
            msgpack(vec![0x81, 0x01, 0xc0]),
        ),
        (
            "four thousand million elements",
            msgpack(vec![0xdd, 0xff, 0xff, 0xff, 0xff]),
        ),
        (
            "four thousand million attributes",
            msgpack(vec![0xdf, 0xff, 0xff, 0xff, 0xff]),
        ),
        (
            "a text that does not follow",
            msgpack(vec![0xdb, 0xff, 0xff, 0xff, 0xff]),
        ),
        (
            "an extension that does not follow",
            msgpack(vec![0xc9, 0xff, 0xff, 0xff, 0xff, 0x0c]),
        ),
        ("nested 100,000 levels", msgpack(vec![0x91; 100_000])),
        (
            "maps nested 100,000 levels",
            msgpack([0x81, 0xa1, b'a'].repeat(100_000)),
        ),
        ("broken JSON", json("{\"name\": ")),
        ("JSON of another shape", json("[1, 2]")),
        ("JSON nested 100,000 levels", json(&"[".repeat(100_000))),
        (
            "JSON objects nested 100,000 levels",
            json(&"{\"name\":".repeat(100_000)),
        ),
        (
            "JSON that is not UTF-8",
            wire::DynamicValue {
                msgpack: Vec::new(),
                json: b"{\"name\": \"\xc3\x28\"}".to_vec(),
            },
        ),
        (
            "JSON with a wrong attribute",
            json("{\"name\": [[]], \"text\": [[]]}"),
        ),
    ]
}

#[tokio::test]
async fn valid_requests_are_answered_without_a_complaint() {
    let test = Test::configured().await;
    for method in test.client.methods() {
        let request = test.requests.valid(method).encode_to_vec();
        let answer = test.send(method, request, "a valid request").await;
        is_served(method, &answer);
    }
    test.is_unharmed().await;
}

#[tokio::test]
async fn garbage_in_place_of_a_value_is_refused() {
    let test = Test::configured().await;
    for method in test.client.methods() {
        let valid = test.requests.valid(method);
        for field in values(method) {
            for (what, value) in garbage() {
                let request = with(&valid, &field, &value).encode_to_vec();
                let answer = test.send(method, request, what).await;
                // The one field that is a bool.
                let fits = field.name() == "include_resource_object" && what == "a bool";
                assert!(
                    complains(&answer) != fits,
                    "{}: {what} as {}: {}",
                    method.name(),
                    field.name(),
                    show(&answer)
                );
            }
        }
    }
    test.is_unharmed().await;
}

/// Attributes with a value that is wrong inside: the object itself is complete. And whether an error must follow; else the
/// value is extraordinary and may be taken.
fn odd_attributes() -> Vec<(&'static str, &'static str, Vec<u8>, bool)> {
    let float = |value: f64| [&[0xcb], &value.to_be_bytes()[..]].concat();
    let nested = |of: &str, levels: usize| {
        let of = format!(
            "{}\"bool\"{}",
            format!("[\"{of}\",").repeat(levels),
            "]".repeat(levels)
        );
        dynamic(&of, NULL)
    };
    let deep_value = |levels: usize| {
        let of = format!(
            "{}\"bool\"{}",
            "[\"list\",".repeat(levels),
            "]".repeat(levels)
        );
        dynamic(&of, &[vec![0x91; levels], vec![0xc3]].concat())
    };
    let twice = |key: &str| [&[0x82][..], &text(key), &text("1"), &text(key), &text("2")].concat();
    vec![
        (
            "name",
            "a text that is not UTF-8",
            vec![0xa2, 0xc3, 0x28],
            true,
        ),
        ("name", "a text of 2 MiB", text(&"a".repeat(2 << 20)), false),
        (
            "name",
            "a text with control characters",
            text("\u{0}\u{1b}[31m\n"),
            false,
        ),
        ("truth", "a number for a bool", vec![0x01], true),
        ("small", "a number out of range", text("70000"), true),
        ("small", "half a number", float(0.5), true),
        (
            "whole",
            "a whole number of 30 digits",
            text(&"9".repeat(30)),
            true,
        ),
        ("number", "not a number", float(f64::NAN), true),
        ("number", "infinity", float(f64::INFINITY), true),
        ("number", "NaN as text", text("NaN"), true),
        ("number", "a text that is no number", text("0x10"), true),
        (
            "number",
            "100,000 digits",
            text(&"9".repeat(100_000)),
            false,
        ),
        (
            "number",
            "100,000 digits behind the point",
            text(&format!("0.{}1", "0".repeat(100_000))),
            false,
        ),
        ("number", "a huge exponent", text("1e999999999999"), true),
        (
            "number",
            "a huge negative exponent",
            text("1e-999999999999"),
            true,
        ),
        (
            "list",
            "a list with four thousand million elements",
            vec![0xdd, 0xff, 0xff, 0xff, 0xff],
            true,
        ),
        ("list", "a map for a list", vec![0x80], true),
        ("list", "a list with null", vec![0x91, 0xc0], false),
        (
            "set",
            "a set with the same twice",
            [&[0x92][..], &text("x"), &text("x")].concat(),
            false,
        ),
        ("map", "a map with one key twice", twice("key"), true),
        ("map", "a map of numbers", map(&[("a", &[0x01])]), true),
        ("any", "a bare text", text("x"), true),
        (
            "any",
            "a type that is none",
            dynamic("\"text\"", NULL),
            true,
        ),
        (
            "any",
            "a type that is no JSON",
            dynamic("[\"list\"", NULL),
            true,
        ),
        (
            "any",
            "a type without its inside",
            dynamic("[\"list\"]", NULL),
            true,
        ),
        (
            "any",
            "a type nested 100,000 levels",
            nested("list", 100_000),
            true,
        ),
        ("any", "a type nested 120 levels", nested("map", 120), false),
        ("any", "a value nested 120 levels", deep_value(120), false),
        ("any", "a value nested 200 levels", deep_value(200), true),
        (
            "any",
            "dynamic in dynamic, 60 levels",
            (0..60).fold(NULL.to_vec(), |value, _| dynamic("\"dynamic\"", &value)),
            false,
        ),
        (
            "any",
            "dynamic in dynamic, 100,000 levels",
            [0x92, 0xc4, 9]
                .iter()
                .chain(b"\"dynamic\"")
                .copied()
                .collect::<Vec<_>>()
                .repeat(100_000),
            true,
        ),
        (
            "any",
            "another type than the value's",
            dynamic("\"number\"", &text("x")),
            true,
        ),
        ("part", "an object without its attributes", vec![0x80], true),
        ("part", "an unknown object", vec![0xd4, 0, 0], false),
        (
            "parts",
            "an unknown in a list",
            vec![0x91, 0xd4, 0, 0],
            false,
        ),
        (
            "named",
            "a name that is not UTF-8",
            vec![0x81, 0xa2, 0xc3, 0x28, 0xc0],
            true,
        ),
        ("blocks", "null blocks", NULL.to_vec(), false),
        ("blocks", "unknown blocks", vec![0xd4, 0, 0], false),
        (
            "secret_wo",
            "a refinement that is none",
            vec![0xc7, 3, 12, 0xff, 0xff, 0xff],
            false,
        ),
        (
            "secret_wo",
            "an unknown extension",
            vec![0xd5, 77, 1, 2],
            false,
        ),
        (
            "secret_wo",
            "a refinement with a huge map",
            vec![0xc7, 5, 12, 0xdf, 0xff, 0xff, 0xff, 0xff],
            false,
        ),
        ("timeouts", "a text for an object", text("1h"), true),
    ]
}

#[tokio::test]
async fn wrong_attributes_are_refused_and_odd_ones_survived() {
    let test = Test::configured().await;
    let (name, null) = (text("valid"), NULL.to_vec());
    for method in test.client.methods() {
        if Requests::kind(method) != "thing" || method.name() == "CallFunction" {
            continue;
        }
        let valid = test.requests.valid(method);
        for field in values(method)
            .iter()
            .filter(|field| !field.name().contains("identity"))
        {
            for (attribute, what, value, refused) in odd_attributes() {
                let given: [(&str, &[u8]); 3] =
                    [("name", &name), ("id", &null), (attribute, &value)];
                let object = msgpack(test.requests.object("thing", &given));
                let request = with(&valid, field, &object).encode_to_vec();
                let answer = test.send(method, request, what).await;
                assert!(
                    !refused || complains(&answer),
                    "{} accepts {what} as {attribute} of {}: {}",
                    method.name(),
                    field.name(),
                    show(&answer)
                );
            }
        }
    }
    test.is_unharmed().await;
}

#[tokio::test]
async fn timeouts_of_any_length_are_survived() {
    let test = Test::configured().await;
    for length in [
        "18446744073709551615h",
        "5000000000000000h",
        "2562047788015215h",
        "9999999999999h",
        "0s",
        "99999999999999999999999h",
        "",
    ] {
        let mut timeouts = Vec::new();
        for operation in ["create", "read", "update", "delete"] {
            timeouts.push((operation, text(length)));
        }
        let timeouts: Vec<(&str, &[u8])> = timeouts
            .iter()
            .map(|(name, value)| (*name, &value[..]))
            .collect();
        let (name, timeouts) = (text("valid"), map(&timeouts));
        for method in test.client.methods() {
            if Requests::kind(method) != "thing" || method.name() == "CallFunction" {
                continue;
            }
            let mut request = test.requests.valid(method);
            for field in values(method)
                .iter()
                .filter(|field| field.name() != "raw_state" && !field.name().contains("identity"))
            {
                let given: [(&str, &[u8]); 3] =
                    [("name", &name), ("id", &name), ("timeouts", &timeouts)];
                request = with(
                    &request,
                    field,
                    &msgpack(test.requests.object("thing", &given)),
                );
            }
            let _ = test.send(method, request.encode_to_vec(), length).await;
        }
    }
    test.is_unharmed().await;
}

#[tokio::test]
async fn absent_fields_are_survived() {
    let test = Test::configured().await;
    for method in test.client.methods() {
        let valid = test.requests.valid(method);
        let _ = test.send(method, Vec::new(), "an empty request").await;
        for field in method.input().fields() {
            let mut request = valid.clone();
            request.clear_field(&field);
            let _ = test
                .send(method, request.encode_to_vec(), field.name())
                .await;
        }
        for field in values(method) {
            for (what, empty) in [
                ("null", msgpack(NULL.to_vec())),
                ("unknown", msgpack(vec![0xd4, 0, 0])),
                ("nothing", msgpack(Vec::new())),
            ] {
                let request = with(&valid, &field, &empty).encode_to_vec();
                let _ = test.send(method, request, what).await;
            }
        }
    }
    // An empty ConfigureProvider leaves the provider that there was.
    test.is_unharmed().await;
}

#[tokio::test]
async fn calls_before_configure_are_refused_or_answered() {
    let test = Test::unconfigured().await;
    for method in test
        .client
        .methods()
        .filter(|method| method.name() != "ConfigureProvider")
    {
        let request = test.requests.valid(method).encode_to_vec();
        let answer = test.send(method, request, "an unconfigured call").await;
        let needs = [
            "ReadResource",
            "PlanResourceChange",
            "ApplyResourceChange",
            "ImportResourceState",
            "ReadDataSource",
            "OpenEphemeralResource",
        ];
        if needs.contains(&method.name()) {
            assert!(complains(&answer), "{}: {}", method.name(), show(&answer));
        }
    }
    assert_eq!(*PANICS.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn unknown_names_are_refused() {
    let test = Test::configured().await;
    let long = "x".repeat(1 << 20);
    for method in test.client.methods() {
        let valid = test.requests.valid(method);
        let named = ["type_name", "target_type_name", "action_type", "name"];
        for field in method
            .input()
            .fields()
            .filter(|field| named.contains(&field.name()))
        {
            for name in [
                "",
                "world",
                "world_",
                "world_nothing",
                "../../thing",
                "world_thing\u{0}",
                &long,
            ] {
                let mut request = valid.clone();
                request.set_field(&field, prost_reflect::Value::String(name.to_owned()));
                let answer = test
                    .send(method, request.encode_to_vec(), "an unknown name")
                    .await;
                assert!(
                    complains(&answer),
                    "{} knows {name:.20}: {}",
                    method.name(),
                    show(&answer)
                );
            }
        }
    }
    test.is_unharmed().await;
}

#[tokio::test]
async fn private_bytes_of_strangers_are_as_good_as_none() {
    let test = Test::configured().await;
    let deep = "[".repeat(100_000);
    let others: [&[u8]; 7] = [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"{\".strata\": 1}",
        b"{\".strata\":1,\"value\":\"x\"}",
        b"{\"schema_version\":\"1\"}",
        deep.as_bytes(),
    ];
    for method in test.client.methods() {
        let valid = test.requests.valid(method);
        let is_private = |field: &prost_reflect::FieldDescriptor| field.name().ends_with("private");
        for field in method.input().fields().filter(is_private) {
            for bytes in others {
                let mut request = valid.clone();
                request.set_field(&field, prost_reflect::Value::Bytes(bytes.to_vec().into()));
                let answer = test
                    .send(
                        method,
                        request.encode_to_vec(),
                        "private bytes of a stranger",
                    )
                    .await;
                is_served(method, &answer);
            }
        }
    }
    test.is_unharmed().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_a_status() {
    let test = Test::configured().await;
    for method in test.client.methods() {
        let no_fields = method.input().fields().len() == 0;
        for (what, bytes) in [
            (
                "a field that does not follow",
                vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            ),
            ("an endless number", vec![0xff; 64]),
            ("a wrong wire type", vec![0x0f, 0x00]),
            ("groups nested 100,000 levels", vec![0x0b; 100_000]),
            ("messages nested 100,000 levels", {
                // Field 7 of PlanResourceChange is a message; everywhere else this is an unknown or a broken field.
                let mut bytes = Vec::new();
                for _ in 0..100_000 {
                    bytes.extend([0x3a, 0x7f]);
                }
                bytes
            }),
        ] {
            let answer = test.send(method, bytes, what).await;
            assert!(
                no_fields || answer.is_err(),
                "{} takes {what}: {}",
                method.name(),
                show(&answer)
            );
        }
    }
    test.is_unharmed().await;
}

#[tokio::test]
async fn broken_frames_are_a_status() {
    let test = Test::configured().await;
    for method in test.client.methods() {
        for (what, body) in [
            ("nothing", vec![]),
            ("half a frame", vec![0, 0]),
            ("a frame that does not follow", vec![0, 0, 0, 0, 200, 1]),
            ("a frame of 4 GiB", vec![0, 0xff, 0xff, 0xff, 0xff]),
            ("a frame of 300 MiB", vec![0, 0x12, 0xc0, 0, 0]),
            ("a compressed frame", vec![1, 0, 0, 0, 1, 0]),
            ("an unknown flag", vec![0x7f, 0, 0, 0, 1, 0]),
        ] {
            let sent = tokio::time::timeout(LIMIT, test.client.send_body(method, body)).await;
            let status = sent.unwrap_or_else(|_| panic!("{} hangs on {what}", method.name()));
            assert_ne!(status.code(), Code::Ok, "{} takes {what}", method.name());
        }
    }
    test.is_unharmed().await;
}

/// One server for all cases of the property below.
struct Mutated {
    runtime: tokio::runtime::Runtime,
    test: Test,
    valid: Vec<(MethodDescriptor, Vec<u8>)>,
}

static MUTATED: LazyLock<Mutex<Mutated>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let test = runtime.block_on(Test::configured());
    let valid = test
        .client
        .methods()
        .map(|method| (method.clone(), test.requests.valid(method).encode_to_vec()));
    let valid = valid.filter(|(_, bytes)| !bytes.is_empty()).collect();
    Mutex::new(Mutated {
        runtime,
        test,
        valid,
    })
});

/// A change at a place of the request, counted in parts of its length.
#[derive(Clone, Debug)]
enum Change {
    Set(u8),
    Flip(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize),
    Cut,
}

fn change() -> impl Strategy<Value = (u16, Change)> {
    let special = prop::sample::select(vec![
        0x00, 0x7f, 0x80, 0x90, 0xc0, 0xc1, 0xc7, 0xd4, 0xdb, 0xdd, 0xdf, 0xff,
    ]);
    let kind = prop_oneof![
        any::<u8>().prop_map(Change::Set),
        special.prop_map(Change::Set),
        (0..8_u8).prop_map(|bit| Change::Flip(1 << bit)),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Change::Insert),
        (1..9_usize).prop_map(Change::Remove),
        (1..40_usize).prop_map(Change::Repeat),
        Just(Change::Cut),
    ];
    (any::<u16>(), kind)
}

fn apply(bytes: &mut Vec<u8>, place: u16, change: &Change) {
    let at = bytes.len() * usize::from(place) / (usize::from(u16::MAX) + 1);
    let end = |count: usize| (at + count).min(bytes.len());
    match change {
        _ if bytes.is_empty() => {}
        Change::Set(byte) => bytes[at] = *byte,
        Change::Flip(bit) => bytes[at] ^= bit,
        Change::Insert(more) => drop(bytes.splice(at..at, more.iter().copied())),
        Change::Remove(count) => drop(bytes.drain(at..end(*count))),
        Change::Repeat(count) => {
            let part = bytes[at..end(*count)].to_vec();
            drop(bytes.splice(at..at, part));
        }
        Change::Cut => bytes.truncate(at),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_with_changed_bytes_are_answered(method in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..5)) {
        let all = MUTATED.lock().unwrap();
        let (method, valid) = method.get(&all.valid);
        let mut bytes = valid.clone();
        for (place, change) in &changes {
            apply(&mut bytes, *place, change);
        }
        let _ = all.runtime.block_on(all.test.send(method, bytes, "changed bytes"));
        prop_assert_eq!(&*PANICS.lock().unwrap(), &Vec::<String>::new());
    }
}
