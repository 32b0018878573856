//! The process: how it starts, what it prints, whom it talks to, and how it ends.

#![allow(clippy::unwrap_used, reason = "tests")]

mod caller;
mod workspace;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use strata_proto::tfplugin6::get_provider_schema;
use strata_proto::tfplugin6::provider_client::ProviderClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use caller::Plugin;
use caller::identity::Identity;

fn by_hand(arguments: &[&str]) -> std::process::Output {
    Command::new(workspace::provider())
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn help_and_version_are_one_line_each() {
    for (argument, part) in [
        ("--help", "is a Terraform provider"),
        ("--version", "terraform-provider-example v0.1.0"),
    ] {
        let output = by_hand(&[argument]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(text.contains(part) && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn an_unknown_argument_is_named_with_the_known_ones() {
    let output = by_hand(&["plan"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert_eq!(
        text,
        "terraform-provider-example: unknown argument \"plan\"; it knows --debug, --help and --version.\n"
    );
}

/// What a stranger reads before the plugin hangs up.
async fn told(mut stranger: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut told = Vec::new();
    let read = stranger.read_to_end(&mut told);
    let read = tokio::time::timeout(Duration::from_secs(30), read).await;
    // A broken connection is a refusal, too.
    let _ = read.expect("the plugin hangs up on strangers");
    told
}

#[tokio::test]
async fn strangers_on_the_socket_get_nothing_and_disturb_nobody() {
    let plugin = Plugin::start(&workspace::provider(), Stdio::null());
    // One who says nothing stays for the whole test.
    let silent = UnixStream::connect(&plugin.socket).await.unwrap();

    let mut plain = UnixStream::connect(&plugin.socket).await.unwrap();
    let _ = plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let answer = told(plain).await;
    // An alert of TLS at most: no settings of HTTP/2.
    assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");

    // In TLS 1.3 a client learns of a refusal at its first read only.
    let stranger = Identity::generate().unwrap();
    let with_another = stranger.client(plugin.certificate.clone()).unwrap();
    let mut without = plugin.own();
    without.client_auth_cert_resolver = std::sync::Arc::new(Nobody);
    for client in [with_another, without] {
        if let Ok(stream) = plugin.tls(client).await {
            assert!(told(stream).await.is_empty());
        }
    }

    let channel = plugin.channel().await;
    let schema = ProviderClient::new(channel.clone())
        .get_provider_schema(get_provider_schema::Request::default())
        .await
        .unwrap();
    assert!(!schema.get_ref().resource_schemas.is_empty());
    assert!(plugin.shut_down(channel).await.success());
    assert!(told(silent).await.is_empty());
}

/// Has no certificate to show.
#[derive(Debug)]
struct Nobody;

impl rustls::client::ResolvesClientCert for Nobody {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        None
    }
    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn stdin_is_the_users() {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"yes\n").unwrap();
    drop(writer);
    let plugin = Plugin::start(&workspace::provider(), reader.try_clone().unwrap().into());
    let channel = plugin.channel().await;
    assert!(plugin.shut_down(channel).await.success());
    // Terraform asks for approval on the stdin that its plugins inherit.
    let mut left = String::new();
    reader.read_to_string(&mut left).unwrap();
    assert_eq!(left, "yes\n");
}
