//! The object store: what etcd holds, with revisions and a bounded log for watches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::kind::{Kind, ResourceId};

/// Events kept for watches; a watch from before the oldest gets 410.
const LOG: usize = 10_000;

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) resource: ResourceId,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(group: &str, plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource: ResourceId {
                group: group.into(),
                plural: plural.into(),
            },
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub(super) fn of(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            resource: kind.id(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) revision: u64,
    pub(super) resource: ResourceId,
    /// The object before the change; `None` for a creation.
    pub(super) before: Option<Arc<Value>>,
    /// The object after the change; `None` for a deletion.
    pub(super) after: Option<Arc<Value>>,
}

/// All objects of the cluster.
#[derive(Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    log: VecDeque<Event>,
    /// Nothing older than this is known.
    compacted: u64,
}

impl Store {
    /// A store that begins with these objects; what was before this revision is compacted away.
    pub(super) fn at(revision: u64, objects: impl Iterator<Item = (Key, Value)>) -> Self {
        Self {
            objects: objects
                .map(|(key, object)| (key, Arc::new(object)))
                .collect(),
            revision,
            log: VecDeque::new(),
            compacted: revision,
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Objects of a type in one namespace, or everywhere.
    pub(super) fn list<'a>(
        &'a self,
        resource: &ResourceId,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let start = Key {
            resource: resource.clone(),
            namespace: namespace.unwrap_or_default().into(),
            name: String::new(),
        };
        let resource = resource.clone();
        self.objects.range(start..).take_while(move |(key, _)| {
            key.resource == resource && namespace.is_none_or(|wanted| key.namespace == wanted)
        })
    }

    pub(super) fn everything(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// Writes an object under a fresh revision; creates or replaces.
    pub(super) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), object.clone());
        self.record(Event {
            revision: self.revision,
            resource: key.resource,
            before,
            after: Some(object.clone()),
        });
        object
    }

    /// Removes an object; its last state carries the revision of the removal, as watches show it.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let object = self.objects.remove(key)?;
        self.revision += 1;
        let mut last = (*object).clone();
        last["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let last = Arc::new(last);
        self.record(Event {
            revision: self.revision,
            resource: key.resource.clone(),
            before: Some(last.clone()),
            after: None,
        });
        Some(last)
    }

    fn record(&mut self, event: Event) {
        self.log.push_back(event);
        if self.log.len() > LOG {
            self.log.pop_front();
        }
    }

    /// Events after a revision, or the oldest revision still known when that is too late.
    pub(super) fn since(&self, revision: u64) -> Result<Vec<Event>, u64> {
        if revision < self.compacted {
            return Err(self.compacted);
        }
        match self.log.front() {
            Some(oldest) if revision + 1 < oldest.revision => Err(oldest.revision),
            _ => {
                let from = self.log.partition_point(|event| event.revision <= revision);
                Ok(self.log.range(from..).cloned().collect())
            }
        }
    }
}
