//! The registry: everything a provider offers, in one list.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::Model;
use crate::ephemeral::Ephemeral;
use crate::erased::{
    AnyDataSource, AnyEphemeral, AnyFunction, AnyIdentity, AnyList, AnyResource, Typed,
};
use crate::function::{Arguments, Function};
use crate::identity::{self, Identified};
use crate::list::List;
use crate::meta::AnyMeta;
use crate::resource::{DataSource, Provider, Resource};
use crate::schema::is_identifier;

/// Names that Terraform uses itself in resource and data blocks.
const RESERVED: [&str; 7] = [
    "connection",
    "count",
    "depends_on",
    "for_each",
    "lifecycle",
    "provider",
    "provisioner",
];
/// The same in the provider block.
const RESERVED_PROVIDER: [&str; 2] = ["alias", "version"];

/// Everything a provider offers.
pub struct Registry<P> {
    pub(crate) name: &'static str,
    /// Where configurations find it: `host/namespace/type`. `--debug` needs it.
    pub(crate) address: Option<&'static str>,
    pub(crate) version: &'static str,
    pub(crate) resources: BTreeMap<String, Arc<dyn AnyResource<P>>>,
    pub(crate) identities: BTreeMap<String, Arc<dyn AnyIdentity<P>>>,
    pub(crate) lists: BTreeMap<String, Arc<dyn AnyList<P>>>,
    pub(crate) data_sources: BTreeMap<String, Arc<dyn AnyDataSource<P>>>,
    pub(crate) ephemerals: BTreeMap<String, Arc<dyn AnyEphemeral<P>>>,
    pub(crate) meta: Option<AnyMeta>,
    pub(crate) functions: BTreeMap<String, Arc<dyn AnyFunction>>,
    repeated: Vec<String>,
}

impl<P: Provider> Registry<P> {
    /// A provider without anything yet; `name` is the prefix of every type.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            address: None,
            version: "0.0.0",
            resources: BTreeMap::new(),
            identities: BTreeMap::new(),
            lists: BTreeMap::new(),
            data_sources: BTreeMap::new(),
            ephemerals: BTreeMap::new(),
            meta: None,
            functions: BTreeMap::new(),
            repeated: Vec::new(),
        }
    }

    /// The address that configurations give as `source`, in full: `example.org/acme/acme`. Terraform finds a
    /// process started with `--debug` by it.
    #[must_use]
    pub fn address(mut self, address: &'static str) -> Self {
        self.address = Some(address);
        self
    }

    /// What `--version` answers: `env!("CARGO_PKG_VERSION")`.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Declares what a module may say to the provider: `terraform { provider_meta "example" { .. } }`. Operations find it
    /// with [`Cx::meta`](crate::Cx::meta).
    #[must_use]
    pub fn meta<M: Model>(mut self) -> Self {
        if self.meta.replace(AnyMeta::of::<M>()).is_some() {
            self.repeated.push("provider_meta".to_owned());
        }
        self
    }

    /// Adds a resource.
    #[must_use]
    pub fn resource<R: Resource<Provider = P>>(mut self) -> Self {
        let name = self.full(R::NAME);
        if self
            .resources
            .insert(name.clone(), Arc::new(Typed::<R>(PhantomData)))
            .is_some()
        {
            self.repeated.push(name);
        }
        self
    }

    /// Adds the identity of a resource: `.resource::<Note>().identity::<Note>()`.
    #[must_use]
    pub fn identity<R: Identified<Provider = P>>(mut self) -> Self {
        let name = self.full(R::NAME);
        if self
            .identities
            .insert(name.clone(), Arc::new(Typed::<R>(PhantomData)))
            .is_some()
        {
            self.repeated.push(format!("identity of {name}"));
        }
        self
    }

    /// Adds the listing of a resource that has an identity: `.identity::<Note>().list::<Note>()`.
    #[must_use]
    pub fn list<R: List<Provider = P>>(mut self) -> Self {
        let name = self.full(R::NAME);
        if self
            .lists
            .insert(name.clone(), Arc::new(Typed::<R>(PhantomData)))
            .is_some()
        {
            self.repeated.push(format!("list of {name}"));
        }
        self
    }

    /// Adds a data source.
    #[must_use]
    pub fn data_source<D: DataSource<Provider = P>>(mut self) -> Self {
        let name = self.full(D::NAME);
        if self
            .data_sources
            .insert(name.clone(), Arc::new(Typed::<D>(PhantomData)))
            .is_some()
        {
            self.repeated.push(name);
        }
        self
    }

    /// Adds an ephemeral resource.
    #[must_use]
    pub fn ephemeral<E: Ephemeral<Provider = P>>(mut self) -> Self {
        let name = self.full(E::NAME);
        if self
            .ephemerals
            .insert(name.clone(), Arc::new(Typed::<E>(PhantomData)))
            .is_some()
        {
            self.repeated.push(name);
        }
        self
    }

    /// Adds a function.
    #[must_use]
    pub fn function<F: Function>(mut self) -> Self {
        let name = F::NAME.to_owned();
        if F::PARAMETERS.len() != F::Arguments::takes().len() {
            self.repeated
                .push(format!("{name}: as many PARAMETERS as arguments"));
        }
        if self
            .functions
            .insert(name.clone(), Arc::new(Typed::<F>(PhantomData)))
            .is_some()
        {
            self.repeated.push(name);
        }
        self
    }

    fn full(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }

    /// Everything core would refuse. A unit test of the provider asserts that this is empty.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self
            .repeated
            .iter()
            .map(|name| format!("{name}: declared twice"))
            .collect();
        if let Some(address) = self.address {
            let parts: Vec<_> = address.split('/').collect();
            if parts.len() != 3 || parts.iter().any(|part| part.is_empty()) {
                faults.push(format!("address {address}: not host/namespace/type"));
            }
        }
        let mut check =
            |kind: &str, name: &str, schema: &crate::Schema, reserved: &[&str], stored: bool| {
                if !is_identifier(name) {
                    faults.push(format!("{kind} {name}: not an identifier"));
                }
                let leaks = if stored { schema.leaks() } else { Vec::new() };
                let all = schema.faults(reserved).into_iter().chain(leaks);
                let all = all.chain(identity::strays(schema));
                faults.extend(all.map(|fault| format!("{kind} {name}: {fault}")));
            };
        check(
            "provider",
            self.name,
            P::Config::schema(),
            &RESERVED_PROVIDER,
            false,
        );
        if let Some(meta) = &self.meta {
            check("provider_meta", self.name, meta.schema, &[], false);
        }
        for (name, resource) in &self.resources {
            check("resource", name, resource.schema(), &RESERVED, true);
        }
        for (name, source) in &self.data_sources {
            check("data source", name, source.schema(), &RESERVED, true);
        }
        for (name, ephemeral) in &self.ephemerals {
            check(
                "ephemeral resource",
                name,
                ephemeral.schema(),
                &RESERVED,
                false,
            );
        }
        for (name, list) in &self.lists {
            check("list resource", name, list.schema(), &[], false);
        }
        for name in self.lists.keys() {
            if !self.identities.contains_key(name) {
                faults.push(format!(
                    "list resource {name}: the resource has no identity"
                ));
            }
        }
        for (name, one) in &self.identities {
            let mut found = identity::faults(one.schema());
            if !self.resources.contains_key(name) {
                found.push("there is no such resource".to_owned());
            }
            faults.extend(
                found
                    .iter()
                    .map(|fault| format!("identity of {name}: {fault}")),
            );
        }
        for (name, function) in &self.functions {
            let parameters = function.parameters();
            let names = parameters
                .iter()
                .map(|(parameter, _)| parameter.name)
                .chain([name.as_str()]);
            let mut seen = BTreeSet::new();
            let wrong = names.filter(|name| !is_identifier(name) || !seen.insert(*name));
            faults.extend(wrong.map(|wrong| {
                format!("function {name}: {wrong:?} is not an identifier, or used twice")
            }));
        }
        faults
    }
}
