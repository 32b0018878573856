//! Where a 307 or 308 may lead: the request is repeated there with its body and its credential, so only to a place as trustworthy.
//!
//! The server that answers has the credential already; what must not happen is that it leaves TLS, or that whoever answers on a plain
//! connection chooses who gets it. So `https` leads to `https` (a standby names its active node), plain `http` leads to the same host only.

use http::Uri;

/// Redirects that one request follows.
pub(super) const LIMIT: usize = 3;

/// The address that `location`, answered for `from`, leads to.
pub(super) fn target(from: &Uri, location: &str) -> Result<Uri, String> {
    let refused = |why: &str| {
        Err(format!(
            "it leads to {}, {why}; not followed",
            location.split('?').next().unwrap_or_default()
        ))
    };
    let absolute = if location.starts_with('/') && !location.starts_with("//") {
        format!(
            "{}://{}{location}",
            from.scheme_str().unwrap_or("https"),
            from.authority().map_or("", |authority| authority.as_str())
        )
    } else {
        location.to_owned()
    };
    let Ok(to) = absolute.parse::<Uri>() else {
        return refused("which is not an address");
    };
    if to
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return refused("which carries a user");
    }
    match (from.scheme_str(), to.scheme_str()) {
        (_, Some("https")) => Ok(to),
        (Some("http"), Some("http")) if from.host() == to.host() => Ok(to),
        (Some("http"), Some("http")) => refused("another host without TLS"),
        _ => refused("which is not https"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_never_leaves_tls_and_never_goes_to_a_stranger_in_the_clear() {
        let follow = |from: &str, location: &str| {
            target(&from.parse().unwrap(), location).map(|to| to.to_string())
        };
        let standby = "https://standby.example.org:8200/v1/secret/data/x";
        assert_eq!(
            follow(standby, "https://active.example.org:8200/v1/secret/data/x").unwrap(),
            "https://active.example.org:8200/v1/secret/data/x"
        );
        assert_eq!(
            follow(standby, "/v1/other").unwrap(),
            "https://standby.example.org:8200/v1/other"
        );
        let plain = "http://127.0.0.1:8200/v1/x";
        assert_eq!(
            follow(plain, "http://127.0.0.1:8201/v1/x").unwrap(),
            "http://127.0.0.1:8201/v1/x"
        );
        for (from, location) in [
            (standby, "http://active.example.org:8200/v1/secret/data/x"),
            (standby, "//evil.example.org/v1/x"),
            (standby, "https://user@evil.example.org/"),
            (standby, "ftp://active.example.org/"),
            (standby, "not an address"),
            (plain, "http://192.0.2.1:8200/v1/x"),
        ] {
            assert!(follow(from, location).is_err(), "{from} -> {location}");
        }
        assert!(
            !follow(standby, "http://x.example.org/?token=1")
                .unwrap_err()
                .contains("token")
        );
    }
}
