//! Who asks: client certificates of the cluster CA, bootstrap tokens, anonymous.
//!
//! The provider's clock is the wall's, the lab's runs ahead. A certificate that is valid by the wall is therefore given its remaining
//! life on the lab's clock from the moment the lab first sees it; one written by the lab's clock is judged by that clock alone.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// An authenticated (or anonymous) user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) groups: Vec<String>,
}

impl Identity {
    pub(super) fn anonymous() -> Self {
        Self {
            user: "system:anonymous".into(),
            groups: vec!["system:unauthenticated".into()],
        }
    }

    fn authenticated(user: String, mut groups: Vec<String>) -> Self {
        groups.push("system:authenticated".into());
        Self { user, groups }
    }

    /// The user a bootstrap token stands for (contract 1.2).
    pub(super) fn bootstrap_token(id: &str, extra_groups: &str) -> Self {
        let extra = extra_groups
            .split(',')
            .map(str::trim)
            .filter(|group| !group.is_empty())
            .map(str::to_owned);
        let groups = std::iter::once("system:bootstrappers".to_owned())
            .chain(extra)
            .collect();
        Self::authenticated(format!("system:bootstrap:{id}"), groups)
    }
}

/// Client certificates seen so far, by fingerprint, with the moment on the lab's clock when each ends.
#[derive(Default)]
pub(super) struct SeenCertificates(HashMap<[u8; 32], Timestamp>);

impl SeenCertificates {
    /// The user of a certificate whose chain TLS has verified; `None` when it is not valid now.
    pub(super) fn identify(
        &mut self,
        der: &[u8],
        wall: Timestamp,
        lab: Timestamp,
    ) -> Option<Identity> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let moment =
            |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let validity = certificate.validity();
        let (start, end) = (moment(validity.not_before)?, moment(validity.not_after)?);
        let skew = SignedDuration::from_mins(5);
        let end = *self.0.entry(Sha256::digest(der).into()).or_insert_with(|| {
            let written_by_wall = start <= wall + skew;
            if written_by_wall {
                lab + (end.duration_since(wall))
            } else {
                end
            }
        });
        if lab >= end {
            return None;
        }
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject
            .iter_organization()
            .filter_map(|group| group.as_str().ok())
            .map(str::to_owned)
            .collect();
        Some(Identity::authenticated(user, groups))
    }
}
