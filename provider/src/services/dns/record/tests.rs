//! Names and values in their one form.

use super::*;

#[test]
fn names_become_whole_and_values_plain() {
    for (name, whole) in [
        ("api", "api.x.test"),
        ("API.x.test.", "api.x.test"),
        ("@", "x.test"),
        ("x.test", "x.test"),
        ("a.b", "a.b.x.test"),
    ] {
        assert_eq!(whole_name(name, "x.test"), whole, "{name}");
    }
    assert_eq!(
        plain("AAAA", "2001:0db8::0001"),
        plain("AAAA", "2001:db8::1")
    );
    assert_eq!(plain("TXT", "\"a b\""), "a b");
    assert_eq!(plain("CNAME", "Web.X.test."), "web.x.test");
}

#[test]
fn a_zone_names_its_backend() {
    assert!(check_zone(&"cloudflare/x.test".to_owned()).is_ok());
    for bad in ["x.test", "route53/x.test", "cloudflare/", "cloudflare"] {
        assert!(check_zone(&bad.to_owned()).is_err(), "{bad}");
    }
}
