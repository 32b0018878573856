//! A kubeconfig that somebody else made, as far as it holds all it needs: address, CA, certificate and key. Whatever runs a program, reads a file or trusts
//! anybody is refused, for the text comes from a store and is used on another machine than it was made on.

use data_encoding::BASE64;
use serde_json::Value;

use super::Error;
use crate::pki::Identity;
use crate::secret::Secret;

/// Where to, whom to trust, as whom.
pub(super) struct Kubeconfig {
    /// Name or address to dial.
    pub(super) host: String,
    /// 443 unless it is said.
    pub(super) port: u16,
    /// Name in the server's certificate: `tls-server-name`, else the host.
    pub(super) name: String,
    /// PEM.
    pub(super) ca: String,
    /// The user.
    pub(super) identity: Identity,
}

impl Kubeconfig {
    /// The current context.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let config: Value =
            serde_yaml_ng::from_str(text).map_err(|_| Error::Kubeconfig("it is not YAML"))?;
        let named = |list: &str, name: &Value, inner: &str| {
            let entries = config[list].as_array().into_iter().flatten();
            let found = entries.into_iter().find(|entry| entry["name"] == *name);
            found.map(|entry| entry[inner].clone())
        };
        let context = named("contexts", &config["current-context"], "context").ok_or(
            Error::Kubeconfig("its `current-context` names no context in it"),
        )?;
        let cluster = named("clusters", &context["cluster"], "cluster").ok_or(
            Error::Kubeconfig("its current context names no cluster in it"),
        )?;
        let user = named("users", &context["user"], "user")
            .ok_or(Error::Kubeconfig("its current context names no user in it"))?;
        if !cluster["proxy-url"].is_null() {
            return Err(Error::Kubeconfig(
                "it has a `proxy-url`, which is not supported",
            ));
        }
        let server = cluster["server"].as_str().unwrap_or_default();
        let (host, port) = address(server).ok_or(Error::Kubeconfig(
            "its `server` is not like https://teleport.example.org:443",
        ))?;
        let name = cluster["tls-server-name"]
            .as_str()
            .map_or_else(|| host.clone(), str::to_owned);
        let ca = decoded(&cluster["certificate-authority-data"]).ok_or(Error::Kubeconfig(
            "it has no `certificate-authority-data`, so nobody would be verified",
        ))?;
        if !user["exec"].is_null() {
            return Err(Error::Kubeconfig(
                "it runs a program to log in; make one with a certificate in it: tctl auth sign --format=kubernetes",
            ));
        }
        let (Some(certificate), Some(key)) = (
            decoded(&user["client-certificate-data"]),
            decoded(&user["client-key-data"]),
        ) else {
            return Err(Error::Kubeconfig(
                "it has no `client-certificate-data` with `client-key-data`",
            ));
        };
        let key = Secret::new(key);
        Ok(Self {
            host,
            port,
            name,
            ca,
            identity: Identity { certificate, key },
        })
    }
}

fn decoded(value: &Value) -> Option<String> {
    let bytes = BASE64.decode(value.as_str()?.trim().as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

/// Host and port of `https://host[:port]`; a path would be lost, so there must be none.
fn address(server: &str) -> Option<(String, u16)> {
    let authority = server.strip_prefix("https://")?.trim_end_matches('/');
    let uri: http::uri::Authority = authority.parse().ok()?;
    let host = uri.host().trim_matches(['[', ']']);
    (!host.is_empty()).then(|| (host.to_owned(), uri.port_u16().unwrap_or(443)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    const TRUST: &str = "certificate-authority-data: Y2E=";
    const LOGIN: &str = "client-certificate-data: Y2VydA==, client-key-data: a2V5";

    #[test]
    fn what_tctl_writes_is_read() {
        let cluster = format!(
            "server: 'https://teleport.example.org', tls-server-name: kube-teleport-proxy-alpn.teleport.example.org, {TRUST}"
        );
        let read = Kubeconfig::parse(&config(&cluster, LOGIN)).unwrap();
        assert_eq!((&*read.host, read.port), ("teleport.example.org", 443));
        assert_eq!(read.name, "kube-teleport-proxy-alpn.teleport.example.org");
        assert_eq!((&*read.ca, &*read.identity.certificate), ("ca", "cert"));
        assert_eq!(read.identity.key.expose(), "key");
        let cluster = format!("server: 'https://[2001:db8::1]:3026/', {TRUST}");
        let read = Kubeconfig::parse(&config(&cluster, LOGIN)).unwrap();
        assert_eq!(
            (&*read.host, read.port, &*read.name),
            ("2001:db8::1", 3026, "2001:db8::1")
        );
    }

    #[test]
    fn what_cannot_be_used_is_said_without_a_word_of_it() {
        let server = "server: 'https://t.example.org'";
        let whole = format!("{server}, {TRUST}");
        for (cluster, user, reason) in [
            (server, LOGIN, "certificate-authority-data"),
            (&*whole, "exec: {command: tsh}", "tctl auth sign"),
            (&whole, "token: geheim", "client-certificate-data"),
            ("server: 'http://t.example.org'", LOGIN, "server"),
            ("server: 'https://t.example.org/path'", LOGIN, "server"),
            (
                &format!("{whole}, proxy-url: 'http://x'"),
                LOGIN,
                "proxy-url",
            ),
        ] {
            let error = Kubeconfig::parse(&config(cluster, user)).err().unwrap();
            let text = error.to_string();
            assert!(text.contains(reason) && !text.contains("geheim"), "{text}");
        }
        for text in ["{", "hello", "current-context: c"] {
            assert!(Kubeconfig::parse(text).is_err(), "{text}");
        }
    }
}
