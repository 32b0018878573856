//! `strata_sealed_secret`: a Secret that only the sealed-secrets controller can open, kept in state as the text that it is.
//!
//! Unlike the function `seal` its values may be ephemeral and its result is not: the resource draws a key for every sealing and forgets it
//! (docs/adr/0010, option 1). Not handled: putting it into a cluster; that is what repositories and `strata_kubernetes_manifests` are for.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Resource, Schema, Secret,
};

use crate::provider::Strata;
use crate::sealed::Certificate;
use crate::sealed::seal::{Scope, Sealing, manifest};

/// A Secret, sealed for the sealed-secrets controller.
///
/// No cluster is asked: the controller's certificate is enough, and only who has its key can open the result. The values may be ephemeral;
/// `manifest` is not secret and may go into a repository, an output or `strata_kubernetes_manifests`. It changes only when a value or the
/// certificate's key does: every sealing is under a key of its own, so the text says nothing about the values, not even whether they are the
/// old ones.
///
/// # Permissions
///
/// Read of the fingerprints' key in the store (entry `fingerprint-key`), which is made when it is missing. No API is called.
///
/// # Errors
///
/// - "Cannot seal Secret ...": a key of `data_wo` is no key of a Secret, there is no value, or they are more than 1 MiB together.
/// - At `certificate`: it is not what `kubeseal --fetch-cert` prints.
///
/// # Import
///
/// Cannot be imported: what is inside cannot be read. Creating it again seals the same values anew, which does no harm.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "sealed_secret", version = 0)]
pub struct SealedSecret {
    /// Name of the Secret that comes out, e.g. `database`.
    #[schema(required, length(1..=253), pattern("[a-z0-9]([a-z0-9.-]*[a-z0-9])?"))]
    name: Attr<String>,
    /// Its namespace.
    #[schema(required, length(1..=63), pattern("[a-z0-9]([a-z0-9-]*[a-z0-9])?"))]
    namespace: Attr<String>,
    /// Its type.
    #[schema(default = "Opaque")]
    r#type: Attr<String>,
    /// Where it opens: `strict` under this name in this namespace, `namespace-wide` under any name, `cluster-wide` anywhere.
    #[schema(default = "strict", one_of("strict", "namespace-wide", "cluster-wide"))]
    scope: Attr<String>,
    /// The controller's certificate in PEM: `certificate_pem` of a `strata_secret` of kind `sealed_secrets_keypair`. A renewed one with the same key
    /// seals nothing anew.
    #[schema(required)]
    certificate: Attr<String>,
    /// The values, by the Secret's key. Never in plan or state; what has another fingerprint is sealed anew.
    #[schema(required, write_only, sensitive)]
    data_wo: Attr<BTreeMap<String, Secret<String>>>,
    /// `namespace/name`.
    #[schema(computed)]
    id: Attr<String>,
    /// HMAC-SHA-256 of the values and of what they are sealed for, under a key in the store. Unknown while something new is planned.
    #[schema(computed)]
    fingerprint: Attr<String>,
    /// The `SealedSecret` as YAML.
    #[schema(computed)]
    manifest: Attr<String>,
}

impl SealedSecret {
    fn label(&self) -> String {
        format!("{}/{}", self.namespace.text(), self.name.text())
    }

    fn certificate(&self) -> Result<Option<Certificate>, Diagnostics> {
        let Some(pem) = self.certificate.known() else {
            return Ok(None);
        };
        let parsed = Certificate::parse(pem);
        parsed
            .map(Some)
            .map_err(|error| Diagnostics::invalid(Path::of("certificate"), format!("{error}.")))
    }

    /// What the fingerprint is over. `None`: something is not known before the apply.
    fn content(&self, config: &Self) -> Result<Option<Vec<u8>>, Diagnostics> {
        let (Some(certificate), Some(data)) = (self.certificate()?, config.data_wo.known()) else {
            return Ok(None);
        };
        let places = [&self.namespace, &self.name, &self.r#type, &self.scope];
        if places.iter().any(|place| place.known().is_none()) {
            return Ok(None);
        }
        let places: Vec<&str> = places.iter().map(|place| place.text()).collect();
        let data: BTreeMap<&str, &String> = data
            .iter()
            .map(|(key, value)| (key.as_str(), value.expose()))
            .collect();
        let content = (certificate.fingerprint, places, data);
        Ok(Some(serde_json::to_vec(&content).expect("texts serialise")))
    }

    async fn sealed(
        cx: &Of<'_, Self>,
        config: &Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let failed = |error: &dyn std::error::Error| {
            Diagnostics::failed("seal", "Secret", &planned.label(), error)
        };
        let (Some(content), Some(certificate)) = (planned.content(config)?, planned.certificate()?)
        else {
            return Err(Diagnostics::error(
                format!("Cannot seal Secret \"{}\"", planned.label()),
                "A value is still unknown. This is a bug in the strata provider.",
            ));
        };
        let data: BTreeMap<String, String> = config
            .data_wo
            .or_default()
            .iter()
            .map(|(key, value)| (key.clone(), value.expose().clone()))
            .collect();
        let key = HEXLOWER.encode(&rand::random::<[u8; 32]>());
        let text = manifest(&Sealing {
            certificate: &certificate,
            scope: Scope::parse(planned.scope.text()).unwrap_or(Scope::Strict),
            namespace: planned.namespace.text(),
            name: planned.name.text(),
            kind: planned.r#type.text(),
            data: &data,
            key: key.as_bytes(),
        })
        .map_err(|error| failed(&error))?;
        planned.fingerprint = cx.provider.fingerprint(&content).await?.into();
        planned.id = planned.label().into();
        planned.manifest = text.into();
        Ok(planned)
    }
}

impl Resource for SealedSecret {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Secrets";
    const TIMEOUTS: Limit = Limit::minutes(5, 1, 5, 1);

    async fn plan(
        cx: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        planned.state.certificate()?;
        let Change::Update { config, prior } = change else {
            return Ok(planned);
        };
        let now = match planned.state.content(config)? {
            Some(content) => cx.provider.fingerprint_if_possible(&content).await,
            None => Ok(None),
        };
        let same = match now {
            Ok(now) => now.is_some() && prior.fingerprint.known() == now.as_ref(),
            Err(error) => {
                // An unreadable store decides nothing: keep what there is and say so.
                cx.warn(error.into_warnings());
                true
            }
        };
        let state = &mut planned.state;
        if same {
            state.id = prior.id.clone();
            state.fingerprint = prior.fingerprint.clone();
            state.manifest = prior.manifest.clone();
        } else {
            state.fingerprint = Attr::Unknown;
            state.manifest = Attr::Unknown;
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, config: Self, planned: Self) -> Result<Self, Diagnostics> {
        Self::sealed(cx, &config, planned).await
    }

    async fn read(_: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        Ok(Found::Present(prior))
    }

    async fn update(
        cx: &Of<'_, Self>,
        config: Self,
        prior: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        // A renewed certificate of the same key: what was sealed stays as it is.
        if planned.fingerprint.known().is_some() && planned.fingerprint == prior.fingerprint {
            return Ok(planned);
        }
        Self::sealed(cx, &config, planned).await
    }

    async fn delete(_: &Of<'_, Self>, _: Self) -> Result<(), Diagnostics> {
        Ok(())
    }
}
