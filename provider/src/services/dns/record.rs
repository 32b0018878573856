//! `strata_dns_record`: values of one name and type in a zone. API: <https://developers.cloudflare.com/api/resources/dns/>
//!
//! It owns exactly its values: others of the same name and type may belong to another resource or another person. What it makes
//! carries the comment `strata:<owner>:<purpose>`; an equal value with our mark is adopted, one without is an error. A record that
//! another resource of this estate has taken over since (another purpose) is not deleted: docs/adr/0004.
//! Not handled: proxied records, priorities (MX, SRV).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex as OsMutex};

use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Resource, Schema, Timeouts,
};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::provider::Strata;
use crate::services::cloudflare::client::{Client, Error, NewRecord, Patch, Record as ApiRecord};

/// Values of one name and type in a DNS zone.
///
/// Several resources may share a name and a type: each owns exactly its `values` and leaves the others alone. What it makes carries the
/// comment `strata:<owner>:<purpose>`. A value that is there already is adopted with a warning when it carries this estate's comment, and an
/// error otherwise. A changed value is rewritten in place, so that the name never goes without an answer.
///
/// Records are never proxied, and there is no priority, so MX and SRV are not offered.
///
/// # Permissions
///
/// A Cloudflare API token with Zone / Zone / Read and Zone / DNS / Edit for the zone
/// ([reference](https://developers.cloudflare.com/fundamentals/api/reference/permissions/)), in `CLOUDFLARE_API_TOKEN` or the store entry
/// `cloudflare/api-token`.
///
/// # Errors
///
/// - "... exists already ... and does not carry the mark of this estate": somebody else made that value. Delete it, or give it the comment
///   that the message names; then it is adopted.
/// - "... already has a ... record": a CNAME cannot stand beside another record of its name.
/// - "Cannot use the provider before ... is known": the comment needs the estate's id.
///
/// # Import
///
/// The id is `zone|name|type` or `zone|name|type|purpose`: the zone with its backend, the name as in the configuration, the type. All records of that
/// name and type that carry this estate's comment are imported, or only those of that purpose: where several resources share a name, say it,
/// or the first apply removes what belongs to the others.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "dns_record", version = 0)]
#[allow(clippy::struct_field_names)] // the name is the attribute's
pub struct Record {
    /// Backend and zone, e.g. `cloudflare/example.org`. The only backend is `cloudflare`.
    #[schema(required, replace, validate = check_zone)]
    zone: Attr<String>,
    /// Name, whole (`api.example.org`) or relative to the zone (`api`; `@` is the zone itself).
    #[schema(required, replace)]
    name: Attr<String>,
    /// Type of the record.
    #[schema(required, replace, one_of("A", "AAAA", "CNAME", "TXT"))]
    r#type: Attr<String>,
    /// The values, at least one: IPv4 addresses for `A`, IPv6 addresses for `AAAA`, exactly one name for `CNAME`, texts without quotes for
    /// `TXT`. Values of the same name and type that are not listed here are left alone.
    #[schema(required)]
    values: Attr<BTreeSet<String>>,
    /// Time to live, in seconds.
    #[schema(default = 300, range(60..=86400))]
    ttl: Attr<u32>,
    /// What the record is for, kept in its comment at the service. A record whose purpose another resource has changed since is not deleted
    /// with this one: it has been taken over.
    #[schema(default = "dns", pattern("[A-Za-z0-9._-]{1,60}"))]
    purpose: Attr<String>,
    /// The import id, `zone|name|type`.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// Ids of the records at the service, by value.
    #[schema(computed, keep_prior)]
    record_ids: Attr<BTreeMap<String, String>>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

#[allow(clippy::ptr_arg)] // the signature that `validate` takes
fn check_zone(zone: &String) -> Result<(), String> {
    match zone.split_once('/') {
        Some(("cloudflare", name)) if name.contains('.') => Ok(()),
        _ => Err("Must be a backend and a zone, like `cloudflare/example.org`.".into()),
    }
}

/// Writes to one name run one after the other: a value can move from one resource to another in the same apply, and whoever looks first
/// must have acted before the other looks.
async fn turn(name: &str) -> OwnedMutexGuard<()> {
    static NAMES: LazyLock<OsMutex<HashMap<String, Arc<Mutex<()>>>>> =
        LazyLock::new(OsMutex::default);
    let lock = NAMES
        .lock()
        .expect("no panic while held")
        .entry(name.to_owned())
        .or_default()
        .clone();
    lock.lock_owned().await
}

/// The purpose in an id that was imported.
fn import_purpose(id: &str) -> Option<&str> {
    id.split('|').nth(3)
}

/// The zone's name without its backend.
fn zone_name(zone: &str) -> &str {
    zone.split_once('/')
        .map_or(zone, |(_, name)| name)
        .trim_end_matches('.')
}

/// The whole name, as the service writes it.
fn whole_name(name: &str, zone: &str) -> String {
    let name = name.trim_end_matches('.').to_lowercase();
    if name == "@" || name == zone {
        zone.to_owned()
    } else if name.ends_with(&format!(".{zone}")) {
        name
    } else {
        format!("{name}.{zone}")
    }
}

/// A value in the form in which two of them are compared.
fn plain(kind: &str, value: &str) -> String {
    match kind {
        "A" | "AAAA" => value
            .parse::<std::net::IpAddr>()
            .map_or_else(|_| value.to_owned(), |address| address.to_string()),
        "CNAME" => value.trim_end_matches('.').to_lowercase(),
        // The service quotes text or not, depending on how it was sent.
        _ => value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value)
            .to_owned(),
    }
}

/// What all operations start from.
struct Wanted<'a> {
    client: &'a Client,
    zone: &'a str,
    name: String,
    kind: &'a str,
    ttl: u32,
    /// `strata:<owner>:`, which makes a record ours.
    mark: String,
    purpose: &'a str,
}

impl Wanted<'_> {
    fn comment(&self) -> String {
        format!("{}{}", self.mark, self.purpose)
    }

    fn is_ours(&self, record: &ApiRecord) -> bool {
        record
            .comment
            .as_deref()
            .is_some_and(|comment| comment.starts_with(&self.mark))
    }

    fn failed(&self, verb: &str, error: &Error) -> Diagnostics {
        Diagnostics::failed(
            verb,
            "DNS record",
            &format!("{} {}", self.name, self.kind),
            error,
        )
    }

    fn new_record(&self, content: &str) -> NewRecord {
        NewRecord {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            content: content.to_owned(),
            ttl: self.ttl,
            proxied: false,
            comment: self.comment(),
        }
    }

    /// Records of the name that exclude ours by DNS's own rule.
    fn conflict(&self, records: &[ApiRecord], own: &BTreeSet<String>) -> Result<(), Diagnostics> {
        let excludes = |record: &&ApiRecord| match (self.kind, record.kind.as_str()) {
            ("CNAME", "A" | "AAAA") | ("A" | "AAAA", "CNAME") => true,
            ("CNAME", "CNAME") => !own.contains(&record.id) && !self.is_ours(record),
            _ => false,
        };
        let Some(other) = records.iter().find(excludes) else {
            return Ok(());
        };
        Err(Diagnostics::error(
            format!("Cannot create DNS record \"{} {}\"", self.name, self.kind),
            format!(
                "{} already has a {} record ({}, id {}), and a {} record cannot stand beside it.",
                other.name, other.kind, other.content, other.id, self.kind
            ),
        )
        .left("Nothing was changed.")
        .hint("Remove the other record, or choose another `name`."))
    }

    /// Brings the service to `values`, starting from whatever is there; `own` are the ids that the state knows. Gives value to id.
    async fn converge(
        &self,
        values: &BTreeSet<String>,
        own: &BTreeMap<String, String>,
        adopted: &mut Vec<String>,
    ) -> Result<BTreeMap<String, String>, Diagnostics> {
        let records = self
            .client
            .records(self.zone, &self.name)
            .await
            .map_err(|error| self.failed("read", &error))?;
        let own_ids: BTreeSet<String> = own.values().cloned().collect();
        self.conflict(&records, &own_ids)?;
        let same_kind: Vec<&ApiRecord> = records
            .iter()
            .filter(|record| record.kind == self.kind)
            .collect();
        let mut ids = BTreeMap::new();
        let mut missing = Vec::new();
        for value in values {
            let Some(record) = same_kind
                .iter()
                .find(|record| plain(self.kind, &record.content) == plain(self.kind, value))
            else {
                missing.push(value);
                continue;
            };
            if !own_ids.contains(&record.id) {
                if !self.is_ours(record) {
                    return Err(self.foreign(record));
                }
                adopted.push(value.clone());
            }
            self.adjust(record).await?;
            ids.insert(value.clone(), record.id.clone());
        }
        // What we own and no longer want: changed in place into what is missing, so that the name never goes without an answer.
        let mut leftover: Vec<&&ApiRecord> = same_kind
            .iter()
            .filter(|record| {
                own_ids.contains(&record.id) && !ids.values().any(|id| *id == record.id)
            })
            .collect();
        for value in missing {
            let id = match leftover.pop() {
                Some(record) => self.rewrite(record, value).await?,
                None => self.create(value).await?,
            };
            ids.insert(value.clone(), id);
        }
        for record in leftover {
            self.client
                .delete_record(self.zone, &record.id)
                .await
                .map_err(|error| self.failed("delete", &error))?;
        }
        Ok(ids)
    }

    fn foreign(&self, record: &ApiRecord) -> Diagnostics {
        Diagnostics::error(
            format!("Cannot create DNS record \"{} {}\"", self.name, self.kind),
            format!(
                "{} {} {} exists already (id {}) and does not carry the mark of this estate (its comment is `{}`).",
                record.name, record.kind, record.content, record.id, record.comment.as_deref().unwrap_or_default()
            ),
        )
        .left("Nothing was changed.")
        .hint(&format!(
            "Delete that record, or give it the comment `{}`, and it is adopted.",
            self.comment()
        ))
    }

    async fn adjust(&self, record: &ApiRecord) -> Result<(), Diagnostics> {
        let patch = Patch {
            content: None,
            ttl: (record.ttl != self.ttl).then_some(self.ttl),
            comment: (record.comment.as_deref() != Some(&self.comment())).then(|| self.comment()),
        };
        if patch != Patch::default() {
            self.client
                .patch_record(self.zone, &record.id, &patch)
                .await
                .map_err(|error| self.failed("update", &error))?;
        }
        Ok(())
    }

    async fn rewrite(&self, record: &ApiRecord, value: &str) -> Result<String, Diagnostics> {
        let patch = Patch {
            content: Some(value.to_owned()),
            ttl: Some(self.ttl),
            comment: Some(self.comment()),
        };
        match self
            .client
            .patch_record(self.zone, &record.id, &patch)
            .await
        {
            Ok(Some(record)) => Ok(record.id),
            Ok(None) => self.create(value).await,
            Err(error) => Err(self.failed("update", &error)),
        }
    }

    /// Creates one record; a lost reply and a lost race are settled by looking.
    async fn create(&self, value: &str) -> Result<String, Diagnostics> {
        let mut last = None;
        for _ in 0..3 {
            let error = match self
                .client
                .create_record(self.zone, &self.new_record(value))
                .await
            {
                Ok(record) => return Ok(record.id),
                Err(error) if error.is_lost() || error.is_identical() => error,
                Err(error) => return Err(self.failed("create", &error)),
            };
            let records = self
                .client
                .records(self.zone, &self.name)
                .await
                .map_err(|error| self.failed("read", &error))?;
            let found = records.iter().find(|record| {
                record.kind == self.kind
                    && plain(self.kind, &record.content) == plain(self.kind, value)
            });
            match found {
                Some(record) if self.is_ours(record) => return Ok(record.id.clone()),
                Some(record) => return Err(self.foreign(record)),
                None => last = Some(error),
            }
        }
        Err(self.failed("create", &last.expect("three tries left an error")))
    }
}

impl Record {
    async fn wanted<'a>(&'a self, provider: &'a Strata) -> Result<Wanted<'a>, Diagnostics> {
        let zone = zone_name(self.zone.require("zone")?);
        Ok(Wanted {
            client: provider.cloudflare().await?,
            zone,
            name: whole_name(self.name.require("name")?, zone),
            kind: self.r#type.require("type")?,
            ttl: *self.ttl.require("ttl")?,
            mark: format!("strata:{}:", provider.owner_if_known().unwrap_or_default()),
            purpose: self.purpose.text(),
        })
    }

    async fn write(
        cx: &Of<'_, Self>,
        mut planned: Self,
        own: &BTreeMap<String, String>,
    ) -> Result<Self, Diagnostics> {
        cx.provider.owner()?;
        let mut adopted = Vec::new();
        let wanted = planned.wanted(cx.provider).await?;
        let _turn = turn(&wanted.name).await;
        let ids = wanted
            .converge(planned.values.require("values")?, own, &mut adopted)
            .await?;
        if !adopted.is_empty() {
            cx.warn(Diagnostics::warning(
                format!("Adopted DNS record \"{} {}\"", wanted.name, wanted.kind),
                format!(
                    "{} existed already with the mark of this estate and is managed from now on.",
                    adopted.join(", ")
                ),
            ));
        }
        let id = format!("{}|{}|{}", planned.zone.text(), wanted.name, wanted.kind);
        drop(wanted);
        planned.id = Attr::Known(id);
        planned.record_ids = Attr::Known(ids);
        Ok(planned)
    }
}

impl Resource for Record {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "DNS";
    const TIMEOUTS: Limit = Limit::minutes(5, 2, 5, 5);

    fn validate(config: &Self, found: &mut Diagnostics) {
        let (Some(kind), Some(values)) = (config.r#type.known(), config.values.known()) else {
            return;
        };
        let at = || Path::of("values");
        if values.is_empty() {
            found.merge(Diagnostics::invalid(
                at(),
                "Must have at least one value; remove the resource to have none.",
            ));
        }
        if kind == "CNAME" && values.len() > 1 {
            found.merge(Diagnostics::invalid(
                at(),
                "A CNAME record has exactly one value.",
            ));
        }
        for value in values {
            let good = match kind.as_str() {
                "A" => value.parse::<std::net::Ipv4Addr>().is_ok(),
                "AAAA" => value.parse::<std::net::Ipv6Addr>().is_ok(),
                _ => !value.is_empty(),
            };
            if !good {
                found.merge(Diagnostics::invalid(
                    at(),
                    format!("`{value}` is not a value of a {kind} record."),
                ));
            }
        }
    }

    async fn plan(
        _: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        if change
            .prior()
            .is_some_and(|prior| prior.values != planned.state.values)
        {
            planned.state.record_ids = Attr::Unknown;
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        Self::write(cx, planned, &BTreeMap::new()).await
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let wanted = prior.wanted(cx.provider).await?;
        let records = match wanted.client.snapshot(wanted.zone).await {
            Ok(records) => records,
            Err(error @ Error::Http(_)) if error.is_transient() => {
                return Ok(Found::Unknown(
                    wanted
                        .failed("read", &error)
                        .left("The last known state is kept."),
                ));
            }
            Err(error) => return Err(wanted.failed("read", &error)),
        };
        let own = prior.record_ids.or_default();
        let is_import = prior.record_ids.is_null();
        let only = import_purpose(prior.id.text());
        let by_import = |record: &ApiRecord| {
            is_import && (only.is_none() || record.comment.as_deref() == Some(&wanted.comment()))
        };
        let (mut ids, mut ttl, mut comment) = (BTreeMap::new(), None, None);
        for record in records
            .iter()
            .filter(|record| record.name == wanted.name && record.kind == wanted.kind)
        {
            // By id; by content and mark when somebody deleted and made it again; all that are ours after an import.
            let written = own
                .keys()
                .find(|value| plain(wanted.kind, value) == plain(wanted.kind, &record.content));
            if own.values().any(|id| *id == record.id)
                || (wanted.is_ours(record) && (written.is_some() || by_import(record)))
            {
                ids.insert(
                    written.cloned().unwrap_or_else(|| record.content.clone()),
                    record.id.clone(),
                );
                ttl = ttl.filter(|ttl| *ttl != wanted.ttl).or(Some(record.ttl));
                let purpose = record
                    .comment
                    .as_deref()
                    .and_then(|comment| comment.strip_prefix(&wanted.mark))
                    .unwrap_or_default()
                    .to_owned();
                comment = comment
                    .filter(|comment| comment != wanted.purpose)
                    .or(Some(purpose));
            }
        }
        if ids.is_empty() {
            return Ok(Found::Gone);
        }
        let id = only.map(|_| format!("{}|{}|{}", prior.zone.text(), wanted.name, wanted.kind));
        drop(wanted);
        if let Some(id) = id {
            prior.id = Attr::Known(id);
        }
        prior.values = Attr::Known(ids.keys().cloned().collect());
        prior.record_ids = Attr::Known(ids);
        prior.ttl = ttl.into();
        prior.purpose = comment.into();
        Ok(Found::Present(prior))
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        prior: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Self::write(cx, planned, &prior.record_ids.or_default()).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let wanted = prior.wanted(cx.provider).await?;
        let _turn = turn(&wanted.name).await;
        let records = wanted
            .client
            .records(wanted.zone, &wanted.name)
            .await
            .map_err(|error| wanted.failed("read", &error))?;
        let own = prior.record_ids.or_default();
        for record in records
            .iter()
            .filter(|record| own.values().any(|id| *id == record.id))
        {
            if wanted.is_ours(record) && record.comment.as_deref() != Some(&wanted.comment()) {
                continue;
            }
            wanted
                .client
                .delete_record(wanted.zone, &record.id)
                .await
                .map_err(|error| wanted.failed("delete", &error))?;
        }
        Ok(())
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let parts: Vec<&str> = id.split('|').collect();
        let ([zone, name, kind] | [zone, name, kind, _]) = parts[..] else {
            return Err(Diagnostics::error(
                format!("Cannot import DNS record \"{id}\""),
                "The id of a DNS record is `zone|name|type`, like `cloudflare/example.org|api.example.org|A`, or the same with `|purpose`.",
            ));
        };
        check_zone(&zone.to_owned()).map_err(|sentence| {
            Diagnostics::error(format!("Cannot import DNS record \"{id}\""), sentence)
        })?;
        Ok(Self {
            zone: zone.into(),
            name: name.into(),
            r#type: kind.into(),
            values: Attr::Null,
            ttl: Attr::Known(300),
            purpose: import_purpose(id).unwrap_or("dns").into(),
            id: id.into(),
            record_ids: Attr::Null,
            timeouts: Attr::Null,
        })
    }
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
