//! A lab with Talos machines only, their secrets, and clients that reach them through the machine network.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde_json::Value;
use strata_lab::calls::Calls;
use strata_lab::clock::Clock;
use strata_lab::fault::{Action, Fault, Faults};
use strata_lab::network::Network;
use strata_lab::talos::{Cidata, PowerOn, TalosMachines};
use strata_proto::talos::cosi::resource::state_client::StateClient;
use strata_proto::talos::cosi::resource::{GetRequest, GetResponse};
use strata_proto::talos::machine::lifecycle_service_client::LifecycleServiceClient;
use strata_proto::talos::machine::machine_service_client::MachineServiceClient;
use strata_proto::talos::storage::storage_service_client::StorageServiceClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

pub(crate) const OPERATOR: &str = "203.0.113.5";
pub(crate) const VIP: &str = "192.0.2.10";
/// The schematic of every image here.
pub(crate) const SCHEMATIC: &str =
    "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";

/// An authority and the texts that configurations hold of it.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: String,
    pub(crate) key: String,
    der: CertificateDer<'static>,
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

impl Authority {
    fn new(organization: &str, ed25519: bool) -> Self {
        let kind = if ed25519 {
            &rcgen::PKCS_ED25519
        } else {
            &rcgen::PKCS_ECDSA_P256_SHA256
        };
        let key = KeyPair::generate_for(kind).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        let certificate = params.self_signed(&key).unwrap();
        let der = key.serialize_der();
        // As Go writes them: Ed25519 as PKCS#8 of version 1, P-256 as SEC1.
        let text = if ed25519 {
            let head = [
                0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
                0x04, 0x20,
            ];
            pem("ED25519 PRIVATE KEY", &[&head, &der[16..48]].concat())
        } else {
            pem("EC PRIVATE KEY", &der[29..])
        };
        Self {
            certificate: certificate.pem(),
            key: text,
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// `{crt: ..., key: ...}`; a worker has no key.
    fn section(&self, with_key: bool) -> String {
        let key = if with_key {
            BASE64.encode(self.key.as_bytes())
        } else {
            String::new()
        };
        format!(
            "{{crt: {}, key: '{key}'}}",
            BASE64.encode(self.certificate.as_bytes())
        )
    }
}

/// The secrets of one cluster.
pub(crate) struct Secrets {
    pub(crate) os: Authority,
    pub(crate) kubernetes: Authority,
    etcd: Authority,
}

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    pub(crate) machines: TalosMachines,
    pub(crate) secrets: Secrets,
    /// Version of new machines' images.
    pub(crate) version: &'static str,
}

/// Roles and extended usages of a client certificate.
pub(crate) struct Identity<'a> {
    pub(crate) role: &'a str,
    pub(crate) serves_too: bool,
}

pub(crate) const ADMIN: Identity<'_> = Identity {
    role: "os:admin",
    serves_too: false,
};
pub(crate) const READER: Identity<'_> = Identity {
    role: "os:reader",
    serves_too: false,
};

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl World {
    pub(crate) fn new(version: &'static str) -> Self {
        let (clock, network, faults, calls) = (
            Clock::new(600.0),
            Network::default(),
            Faults::default(),
            Calls::default(),
        );
        let machines = TalosMachines::new(clock.clone(), network.clone(), faults.clone(), calls);
        Self {
            clock,
            network,
            faults,
            machines,
            secrets: Secrets {
                os: Authority::new("talos", true),
                kubernetes: Authority::new("kubernetes", false),
                etcd: Authority::new("etcd", false),
            },
            version,
        }
    }

    pub(crate) fn fault(&self, target: &str, action: Action, times: Option<u32>) {
        self.faults.add(Fault {
            place: "talos".into(),
            target: target.into(),
            action,
            times,
        });
    }

    /// The configuration of a machine, contract 1.13.
    pub(crate) fn configuration(&self, node: &str, address: &str, control_plane: bool) -> String {
        let Secrets {
            os,
            kubernetes,
            etcd,
        } = &self.secrets;
        let kind = if control_plane {
            "controlplane"
        } else {
            "worker"
        };
        let vip = if control_plane {
            format!(", vip: {{ip: {VIP}}}")
        } else {
            String::new()
        };
        let controls = if control_plane {
            format!(
                "  etcd: {{ca: {}}}\n  serviceAccount: {{key: {}}}\n  apiServer: {{image: 'registry.k8s.io/kube-apiserver:v1.36.3'}}\n",
                etcd.section(true),
                BASE64.encode(b"-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n")
            )
        } else {
            String::new()
        };
        format!(
            "version: v1alpha1\npersist: true\nmachine:\n  type: {kind}\n  token: abcdef.0123456789abcdef\n  ca: {}\n  kubelet: {{image: 'ghcr.io/siderolabs/kubelet:v1.36.3'}}\n  network:\n    interfaces: [{{interface: eth0, addresses: [{address}/24], dhcp: false{vip}}}]\n  install: {{disk: /dev/sda, image: 'factory.talos.dev/nocloud-installer/{SCHEMATIC}:{}'}}\ncluster:\n  id: aWRlbnRpdHk=\n  secret: c2VjcmV0\n  clusterName: home\n  token: abcdef.0123456789abcdef\n  controlPlane: {{endpoint: 'https://{VIP}:6443'}}\n  network: {{dnsDomain: cluster.local, podSubnets: [10.244.0.0/16], serviceSubnets: [10.96.0.0/12]}}\n  ca: {}\n{controls}---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: {node}\n",
            os.section(control_plane),
            self.version,
            kubernetes.section(control_plane),
        )
        .replace("auto: off", "auto: 'off'")
    }

    /// Starts a machine with a `cidata` image.
    pub(crate) fn start(&self, node: &str, address: &str, control_plane: bool) {
        let cidata = Cidata {
            meta_data: format!("instance-id: {node}\nlocal-hostname: {node}\n"),
            network_config: format!(
                "version: 1\nconfig:\n- type: physical\n  name: eth0\n  mac_address: '{}'\n  subnets: [{{type: static, address: {address}/24}}]\n",
                mac(node)
            ),
            user_data: self.configuration(node, address, control_plane),
        };
        self.power_on(node, Some(cidata));
    }

    pub(crate) fn power_on(&self, node: &str, cidata: Option<Cidata>) {
        self.machines.power_on(PowerOn {
            vm: format!("pve1/{node}"),
            name: format!("home-{node}"),
            uuid: "11111111-2222-4333-8444-555555555555".into(),
            mac: mac(node),
            memory_mib: 4096,
            disk_bytes: 20 << 30,
            image: Some(format!(
                "talos-{SCHEMATIC}-{}-nocloud-amd64.qcow2",
                self.version
            )),
            cidata,
        });
    }

    fn client(&self, identity: Option<&Identity<'_>>) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let mut config = match identity {
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone))
                .with_no_client_auth(),
            Some(identity) => {
                let mut roots = RootCertStore::empty();
                roots.add(self.secrets.os.der.clone()).unwrap();
                let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
                let mut params = CertificateParams::new(Vec::new()).unwrap();
                params.distinguished_name = DistinguishedName::new();
                params
                    .distinguished_name
                    .push(DnType::OrganizationName, identity.role);
                params
                    .extended_key_usages
                    .push(ExtendedKeyUsagePurpose::ClientAuth);
                if identity.serves_too {
                    params
                        .extended_key_usages
                        .push(ExtendedKeyUsagePurpose::ServerAuth);
                }
                let leaf = params.signed_by(&key, &self.secrets.os.issuer).unwrap();
                builder
                    .with_root_certificates(roots)
                    .with_client_auth_cert(
                        vec![leaf.der().clone()],
                        PrivateKeyDer::Pkcs8(key.serialize_der().into()),
                    )
                    .unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    /// A connection to the API at an address; `None` for a stranger who believes everything.
    pub(crate) async fn channel(
        &self,
        address: &str,
        identity: Option<&Identity<'_>>,
    ) -> Result<Channel, tonic::transport::Error> {
        let (network, config) = (self.network.clone(), Arc::new(self.client(identity)));
        let to: IpAddr = address.parse().unwrap();
        let connector = tower::service_fn(move |_| {
            let (network, config) = (network.clone(), config.clone());
            async move {
                let from = OPERATOR.parse().unwrap();
                let stream = network
                    .dial(from, to, 50000)
                    .map_err(std::io::Error::other)?;
                let connector = tokio_rustls::TlsConnector::from(config);
                let stream = connector.connect(ServerName::from(to), stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        Endpoint::from_static("http://talos")
            .connect_with_connector(connector)
            .await
    }

    /// The machine API as an administrator; waits until it answers.
    pub(crate) async fn admin(&self, address: &str) -> MachineServiceClient<Channel> {
        let channel = self.wait_for(address, Some(&ADMIN)).await;
        MachineServiceClient::new(channel)
    }

    pub(crate) async fn lifecycle(&self, address: &str) -> LifecycleServiceClient<Channel> {
        LifecycleServiceClient::new(self.wait_for(address, Some(&ADMIN)).await)
    }

    /// Waits until a caller is answered.
    pub(crate) async fn wait_for(&self, address: &str, identity: Option<&Identity<'_>>) -> Channel {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(channel) = self.channel(address, identity).await {
                let mut storage = StorageServiceClient::new(channel.clone());
                if storage.disks(()).await.is_ok() {
                    return channel;
                }
            }
            assert!(
                Instant::now() < until,
                "{address} does not answer: {}",
                self.machines.estate()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One resource, its spec as it is in YAML.
    pub(crate) async fn resource(
        &self,
        address: &str,
        identity: Option<&Identity<'_>>,
        (namespace, kind, id): (&str, &str, &str),
    ) -> Result<Value, Status> {
        let channel = self
            .channel(address, identity)
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let request = GetRequest {
            namespace: namespace.into(),
            r#type: kind.into(),
            id: id.into(),
            options: None,
        };
        let GetResponse { resource } = StateClient::new(channel).get(request).await?.into_inner();
        let text = resource.unwrap().spec.unwrap().yaml_spec;
        Ok(serde_yaml_ng::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Waits for something to be so.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let estate = self.machines.estate();
            if holds(&estate) {
                return estate;
            }
            assert!(Instant::now() < end, "{what}: {estate:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until machines run, as their stage says.
    pub(crate) async fn running(&self, nodes: &[&str]) -> Value {
        self.until("all run", |estate| {
            nodes
                .iter()
                .all(|node| machine(estate, node)["stage"] == "running")
        })
        .await
    }
}

/// A machine of the estate.
pub(crate) fn machine<'a>(estate: &'a Value, node: &str) -> &'a Value {
    let machines = estate["machines"].as_array().unwrap();
    machines
        .iter()
        .find(|machine| machine["node"] == node)
        .unwrap_or(&Value::Null)
}

fn mac(node: &str) -> String {
    let last = node.bytes().fold(0u8, u8::wrapping_add);
    format!("BC:24:11:00:00:{last:02X}")
}
