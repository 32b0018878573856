//! The model against the shape that was checked with nft 1.0.6 (contract 12.3), and what nft refuses.

use super::*;

const NOW: Duration = Duration::from_secs(1000);

const OPEN: &str = "table inet strata
delete table inet strata
table inet strata {
  set operator4 { type ipv4_addr; flags interval,timeout; elements = { 203.0.113.7/32 } }
  set operator6 { type ipv6_addr; flags interval,timeout; }
  set nodes4 { type ipv4_addr; flags interval; elements = { 198.51.100.10, 198.51.100.11, 198.51.100.12 } }
  set nodes6 { type ipv6_addr; flags interval; elements = { 2001:db8::10 } }
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    tcp dport 22 ip saddr @operator4 accept
    tcp dport 22 ip6 saddr @operator6 accept
    tcp dport 22 drop
    ct state established,related accept
    ct state invalid drop
    meta l4proto { icmp, ipv6-icmp } accept
    udp dport 546 ip6 saddr fe80::/10 accept
    tcp dport 6443 accept
    ip saddr @nodes4 tcp dport { 2379-2380, 4240, 10250 } accept
    ip6 saddr @nodes6 tcp dport { 2379-2380, 4240, 10250 } accept
    ip saddr @nodes4 udp dport 8472 accept
  }
}
";

fn loaded() -> Ruleset {
    let mut ruleset = Ruleset::default();
    ruleset.apply(OPEN, NOW).expect("loads");
    ruleset
}

fn packet(from: &str, port: u16) -> Packet {
    let from: std::net::IpAddr = from.parse().expect("address");
    let to = if from.is_ipv4() {
        "198.51.100.10"
    } else {
        "2001:db8::10"
    };
    Packet {
        loopback: false,
        from,
        to: to.parse().expect("address"),
        port,
        udp: false,
        established: false,
    }
}

#[test]
fn the_documented_rules_decide() {
    let ruleset = loaded();
    let verdict = |from, port| ruleset.verdict(&packet(from, port), NOW);
    assert_eq!(verdict("203.0.113.7", 22), Verdict::Accept);
    assert_eq!(verdict("203.0.113.8", 22), Verdict::Drop);
    assert_eq!(verdict("2001:db8::99", 22), Verdict::Drop);
    assert_eq!(verdict("203.0.113.8", 6443), Verdict::Accept);
    assert_eq!(verdict("198.51.100.11", 2380), Verdict::Accept);
    assert_eq!(verdict("198.51.100.13", 2380), Verdict::Drop);
    assert_eq!(verdict("2001:db8::10", 10250), Verdict::Accept);
    assert_eq!(verdict("203.0.113.8", 80), Verdict::Drop);
    let established = |from, port| {
        ruleset.verdict(
            &Packet {
                established: true,
                ..packet(from, port)
            },
            NOW,
        )
    };
    assert_eq!(established("203.0.113.8", 80), Verdict::Accept);
    assert_eq!(
        established("203.0.113.8", 22),
        Verdict::Drop,
        "22 stands before established"
    );
    assert_eq!(
        ruleset.verdict(
            &Packet {
                loopback: true,
                ..packet("198.51.100.10", 22)
            },
            NOW
        ),
        Verdict::Accept
    );
    assert_eq!(
        ruleset.verdict(
            &Packet {
                udp: true,
                ..packet("198.51.100.11", 8472)
            },
            NOW
        ),
        Verdict::Accept
    );
    assert_eq!(
        Ruleset::default().verdict(&packet("203.0.113.8", 80), NOW),
        Verdict::Accept
    );
}

#[test]
fn loading_twice_is_the_same_and_lists_as_nft_does() {
    let mut ruleset = loaded();
    let once = ruleset
        .list_table("inet", "strata", Some(NOW))
        .expect("there");
    ruleset.apply(OPEN, NOW).expect("again");
    assert_eq!(
        ruleset
            .list_table("inet", "strata", Some(NOW))
            .expect("there"),
        once
    );
    assert!(once.starts_with("table inet strata {\n\tset nodes4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 198.51.100.10, 198.51.100.11,\n\t\t\t     198.51.100.12 }\n\t}\n\n"), "{once}");
    assert!(once.contains("\t\telements = { 203.0.113.7 }\n"), "{once}");
    assert!(once.contains("\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tiif \"lo\" accept\n"), "{once}");
    assert!(
        once.contains("ip saddr @nodes4 tcp dport { 2379-2380, 4240, 10250 } accept\n"),
        "{once}"
    );
    assert!(
        once.contains("udp dport 546 ip6 saddr fe80::/10 accept\n"),
        "{once}"
    );
    let mut again = Ruleset::default();
    again.apply(&once, NOW).expect("a listing can be loaded");
    assert_eq!(again.list(None), ruleset.list(None));
}

#[test]
fn elements_time_out() {
    let mut ruleset = loaded();
    ruleset
        .apply(
            "add element inet strata operator4 { 192.0.2.9 timeout 60s }",
            NOW,
        )
        .expect("added");
    let at =
        |seconds| ruleset.verdict(&packet("192.0.2.9", 22), NOW + Duration::from_secs(seconds));
    assert_eq!((at(59), at(60)), (Verdict::Accept, Verdict::Drop));
    assert_eq!(ruleset.next_expiry(), Some(NOW + Duration::from_mins(1)));
    assert!(
        ruleset
            .list(Some(NOW))
            .contains("192.0.2.9 timeout 1m expires 1m")
    );
}

#[test]
fn nft_refuses_what_nft_refuses() {
    let cases = [
        ("delete table inet other", "No such file or directory"),
        (
            "table inet t { set a { type ipv4_addr; elements = { } } }",
            "syntax error",
        ),
        (
            "table inet t { set a { type ipv4_addr; elements = { 10.0.0.0/8 } } }",
            "flags interval",
        ),
        (
            "table inet t { set a { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 10.1.0.0/16 } } }",
            "overlaps",
        ),
        (
            "table inet t { set a { type ipv5_addr; } }",
            "unknown datatype",
        ),
        (
            "table inet t { chain c { ip saddr @none accept } }",
            "No such file or directory",
        ),
        (
            "table inet t { set a { type ipv6_addr; }\n chain c { ip saddr @a accept } }",
            "datatype mismatch",
        ),
        (
            "table inet t { chain c { tcp dport 70000 accept } }",
            "exceeds valid range",
        ),
        (
            "table inet t { chain c { ip saddr 2001:db8::1 accept } }",
            "hostname",
        ),
        (
            "table inet t { chain c { tcp dport 22 acept } }",
            "syntax error",
        ),
        ("table inet t { chain c { accept ", "syntax error"),
        (
            "add element inet strata nodes4 { 198.51.100.0/24 }",
            "overlaps",
        ),
        (
            "add element inet strata nodes4 { 192.0.2.1 timeout 5s }",
            "Invalid argument",
        ),
        (
            "add element inet strata nodes9 { 192.0.2.1 }",
            "No such file",
        ),
    ];
    for (text, expected) in cases {
        let mut ruleset = loaded();
        let before = ruleset.list(None);
        match ruleset.apply(text, NOW) {
            Err(Refusal::Error { text: error, .. }) => {
                assert!(error.contains(expected), "{text}: {error}");
            }
            other => panic!("{text}: {other:?}"),
        }
        assert_eq!(
            ruleset.list(None),
            before,
            "a failed transaction changes nothing"
        );
    }
}

#[test]
fn what_only_nft_knows_is_refused_as_unknown() {
    for text in [
        "table inet t { chain c { limit rate 1/second accept } }",
        "table inet t { chain c { tcp flags syn accept } }",
        "include \"/x\"",
        "table ip t { chain c { type nat hook prerouting priority 0; } }",
    ] {
        assert!(
            matches!(
                Ruleset::default().apply(text, NOW),
                Err(Refusal::Unknown(_))
            ),
            "{text}: {:?}",
            Ruleset::default().apply(text, NOW)
        );
    }
}

#[test]
fn a_port_opened_by_hand_is_open() {
    let mut ruleset = loaded();
    assert!(ruleset.open_port("inet", "strata", 22));
    assert_eq!(
        ruleset.verdict(&packet("192.0.2.200", 22), NOW),
        Verdict::Accept
    );
    assert!(!ruleset.open_port("inet", "none", 22));
}
