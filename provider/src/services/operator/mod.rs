//! Ephemeral `strata_operator_address`: from where the operator is seen, now (FN14). Asking is in [`crate::echo`].

use std::collections::BTreeSet;

use strata_framework::{Attr, Cx, Diagnostics, Ephemeral, Opened, Path, Schema};

use crate::echo::{self, Family};
use crate::provider::Strata;

/// The public addresses of the machine that runs Terraform.
///
/// An operator's address belongs to the moment, not to the configuration: it is looked up when it is needed, kept nowhere and compared with
/// nothing, so that two operators, or one who moved, have empty plans. Use it in write-only attributes, such as the first firewall of a node.
///
/// IPv4 and IPv6 are asked about one by one, at three public echo services in turn, three times each. Other services can be named in
/// `STRATA_ECHO_IPV4` and `STRATA_ECHO_IPV6` (addresses separated by spaces): each must answer with the caller's address as plain text, at a
/// name that has addresses of that family only.
///
/// # Permissions
///
/// None. Connections to the echo services, who see the address and nothing else.
///
/// # Errors
///
/// - "The operator's address is not known": no service answered with a public address, and `required` is set. Name another service, or write
///   the address into the configuration instead.
#[derive(Schema, Clone, Debug)]
#[schema(name = "operator_address", version = 0)]
pub struct OperatorAddress {
    /// Whether to fail when no address is found. Use `terraform.applying`: a plan can do without. Without it: `false`, a warning.
    #[schema(optional)]
    required: Attr<bool>,
    /// Public IPv4 address. Null when none is seen.
    #[schema(computed)]
    ipv4: Attr<String>,
    /// Public IPv6 address. Null when none is seen.
    #[schema(computed)]
    ipv6: Attr<String>,
    /// The addresses as CIDRs of one address each, for rules of a firewall.
    #[schema(computed)]
    cidrs: Attr<BTreeSet<String>>,
}

impl Ephemeral for OperatorAddress {
    type Provider = Strata;
    type Model = Self;
    type Lease = ();
    const SUBCATEGORY: &'static str = "Access";

    async fn open(cx: &Cx<'_, Strata>, mut config: Self) -> Result<Opened<Self, ()>, Diagnostics> {
        let environment = cx.provider.environment().await?;
        let (v4, v6) = tokio::join!(
            echo::first(environment, Family::V4),
            echo::first(environment, Family::V6)
        );
        if let (Err(no_v4), Err(no_v6)) = (&v4, &v6) {
            let (summary, detail) = (
                "The operator's address is not known",
                format!("{no_v4}. {no_v6}."),
            );
            if config.required == Attr::Known(true) {
                return Err(Diagnostics::error(summary, detail)
                    .hint("Name another service in STRATA_ECHO_IPV4 or STRATA_ECHO_IPV6, or write the address into the configuration (`access.operators` of the cluster file).")
                    .at(Path::of("required")));
            }
            cx.warn(Diagnostics::warning(summary, detail));
        }
        let (v4, v6) = (v4.ok(), v6.ok());
        config.cidrs = Attr::Known(
            v4.map(|address| format!("{address}/32"))
                .into_iter()
                .chain(v6.map(|address| format!("{address}/128")))
                .collect(),
        );
        config.ipv4 = v4.map(|address| address.to_string()).into();
        config.ipv6 = v6.map(|address| address.to_string()).into();
        Ok(Opened::new(config))
    }
}
