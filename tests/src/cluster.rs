//! The objects of a fake Kubernetes cluster: held in memory, with the history that watches read.

use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Error;
use crate::value;

/// What the API serves: group, version, plural, kind, and whether its objects are in namespaces.
pub const RESOURCES: [(&str, &str, &str, &str, bool); 11] = [
    ("", "v1", "namespaces", "Namespace", false),
    ("", "v1", "nodes", "Node", false),
    ("", "v1", "services", "Service", true),
    ("", "v1", "pods", "Pod", true),
    ("", "v1", "endpoints", "Endpoints", true),
    ("", "v1", "configmaps", "ConfigMap", true),
    ("", "v1", "events", "Event", true),
    ("", "v1", "secrets", "Secret", true),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
    ("multicluster.x-k8s.io", "v1alpha1", "serviceimports", "ServiceImport", true),
    ("multicluster.x-k8s.io", "v1alpha1", "serviceexports", "ServiceExport", true),
];

/// The first resource version, so that it looks like a cluster that has seen something.
const VERSION_FIRST: u64 = 1000;

/// Group, plural, namespace and name of an object.
type Key = (String, String, String, String);

/// One change of an object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The resource version that it made.
    pub version: u64,
    group: String,
    plural: String,
    deleted: bool,
    object: Arc<Json>,
    before: Option<Arc<Json>>,
}

/// All objects and what became of them.
#[derive(Debug)]
pub struct Store {
    /// The resource version of the latest change.
    pub version: u64,
    /// Watches from before this one are gone.
    pub oldest: u64,
    objects: BTreeMap<Key, Arc<Json>>,
    history: Vec<Change>,
    /// What the API was asked: `PATH [labelSelector=…] [fieldSelector=…]`.
    pub requests: Vec<String>,
}

impl Store {
    /// A store with the objects of some manifests.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn new(manifests: &str) -> Result<Self, Error> {
        let (objects, history, requests) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut store = Self { version: VERSION_FIRST, oldest: 0, objects, history, requests };
        store.apply(manifests)?;
        Ok(store)
    }

    /// Creates or replaces the objects of a multi-document YAML text; `kind: List` counts as what it lists.
    ///
    /// # Errors
    /// [`Error::Case`] when it is no YAML, or for an object of an unknown kind.
    pub fn apply(&mut self, manifests: &str) -> Result<(), Error> {
        for mut object in documents(manifests)? {
            let key = key_of(&mut object)?;
            let before = self.objects.get(&key).cloned();
            self.version += 1;
            self.complete(&mut object, before.as_deref());
            let object = Arc::new(object);
            self.objects.insert(key.clone(), Arc::clone(&object));
            self.note(key, false, object, before);
        }
        Ok(())
    }

    /// Deletes the objects that the manifests name.
    ///
    /// # Errors
    /// As [`Store::apply`], and for an object that is not there.
    pub fn delete(&mut self, manifests: &str) -> Result<(), Error> {
        for mut object in documents(manifests)? {
            let key = key_of(&mut object)?;
            let before = self.objects.remove(&key);
            let before = before.ok_or_else(|| Error::Case(format!("delete: no such object: {key:?}")))?;
            self.version += 1;
            let mut gone = (*before).clone();
            gone["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.note(key, true, Arc::new(gone), Some(before));
        }
        Ok(())
    }

    fn note(&mut self, key: Key, deleted: bool, object: Arc<Json>, before: Option<Arc<Json>>) {
        let (group, plural, ..) = key;
        self.history.push(Change { version: self.version, group, plural, deleted, object, before });
    }

    /// What an API server fills in.
    fn complete(&self, object: &mut Json, before: Option<&Json>) {
        let version = self.version.to_string();
        let uid =
            before.map_or_else(|| format!("00000000-0000-4000-8000-{version:0>12}"), |old| text(old, "metadata.uid"));
        let is_namespace = object["kind"] == "Namespace";
        if let Some(meta) = object["metadata"].as_object_mut() {
            meta.insert("resourceVersion".into(), json!(version));
            meta.entry("uid").or_insert(json!(uid));
            meta.entry("creationTimestamp").or_insert(json!("2024-01-01T00:00:00Z"));
            let name = meta.get("name").cloned().unwrap_or_default();
            if is_namespace {
                let labels = meta.entry("labels").or_insert_with(|| json!({}));
                if let Some(labels) = labels.as_object_mut() {
                    labels.entry("kubernetes.io/metadata.name").or_insert(name);
                }
            }
        }
        if let Some(whole) = object.as_object_mut().filter(|_| is_namespace) {
            whole.entry("status").or_insert(json!({"phase": "Active"}));
        }
    }

    /// Forgets history: whoever resumes a watch is told that it is gone.
    pub fn compact(&mut self) {
        self.version += 1;
        self.oldest = self.version;
        self.history.clear();
    }

    /// One object by its name.
    pub fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Json>> {
        self.objects.get(&(group.into(), plural.into(), namespace.into(), name.into())).cloned()
    }

    /// The objects that are wanted, in the order of their names.
    pub fn current(&self, wanted: &Wanted) -> Vec<Arc<Json>> {
        let of_kind = self.objects.iter().filter(|((group, plural, ..), _)| wanted.is_of(group, plural));
        of_kind.filter(|(_, object)| wanted.selects(object)).map(|(_, object)| Arc::clone(object)).collect()
    }

    /// What a watch that has seen everything up to `version` is told: `ADDED`, `MODIFIED` or `DELETED`. An object
    /// that enters or leaves the selection is added or deleted.
    pub fn since(&self, version: u64, wanted: &Wanted) -> Vec<(&'static str, Arc<Json>)> {
        let mut events = Vec::new();
        for change in self.history.iter().filter(|change| change.version > version) {
            if !wanted.is_of(&change.group, &change.plural) {
                continue;
            }
            let now = !change.deleted && wanted.selects(&change.object);
            let was = change.before.as_ref().is_some_and(|before| wanted.selects(before));
            match (was, now) {
                (false, true) => events.push(("ADDED", Arc::clone(&change.object))),
                (true, true) => events.push(("MODIFIED", Arc::clone(&change.object))),
                (true, false) => events.push(("DELETED", Arc::clone(&change.object))),
                (false, false) => {}
            }
        }
        events
    }
}

fn documents(manifests: &str) -> Result<Vec<Json>, Error> {
    let mut found = Vec::new();
    for document in value::parse_all(manifests)? {
        let mut document = document.to_json();
        match document.get_mut("items").map(Json::take) {
            Some(Json::Array(items)) if document["kind"] == "List" => found.extend(items),
            Some(_) => return Err(Error::Case("cluster: `items` of something that is no List".into())),
            None => found.push(document),
        }
    }
    Ok(found)
}

fn key_of(object: &mut Json) -> Result<Key, Error> {
    let api = object["apiVersion"].as_str().unwrap_or("v1").to_owned();
    let (group, version) = api.rsplit_once('/').unwrap_or(("", &api));
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let known = RESOURCES.iter().find(|known| (known.0, known.1, known.3) == (group, version, kind.as_str()));
    let wrong = || Error::Case(format!("cluster: unknown object {api} {kind}"));
    let (_, _, plural, _, namespaced) = known.ok_or_else(wrong)?;
    let meta: &mut Map<String, Json> = object.get_mut("metadata").and_then(Json::as_object_mut).ok_or_else(wrong)?;
    if *namespaced {
        meta.entry("namespace").or_insert(json!("default"));
    }
    let get = |key: &str| meta.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let namespace = if *namespaced { get("namespace") } else { String::new() };
    Ok((group.into(), (*plural).into(), namespace, get("name")))
}

/// The text at a dotted path; empty when there is nothing.
fn text(object: &Json, path: &str) -> String {
    let found = path.split('.').try_fold(object, |value, part| value.get(part));
    match found {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Which objects a request wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The API group; empty for the core.
    pub group: String,
    /// The resource, as in its path.
    pub plural: String,
    /// The namespace; empty for all.
    pub namespace: String,
    /// The terms of `labelSelector`.
    pub labels: Vec<String>,
    /// The terms of `fieldSelector`.
    pub fields: Vec<String>,
}

impl Wanted {
    fn is_of(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    fn selects(&self, object: &Json) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Json::as_str).map(str::to_owned);
        let field = |key: &str| Some(text(object, key));
        (self.namespace.is_empty() || text(object, "metadata.namespace") == self.namespace)
            && self.labels.iter().all(|term| holds(term, &label))
            && self.fields.iter().all(|term| holds(term, &field))
    }
}

/// Splits a selector at its commas outside parentheses: `a=b,c in (d,e)`.
pub fn terms(selector: &str) -> Vec<String> {
    let (mut found, mut depth) = (vec![String::new()], 0_usize);
    for one in selector.chars() {
        match one {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = found.last_mut() {
            last.push(one);
        }
    }
    found.into_iter().map(|term| term.trim().to_owned()).filter(|term| !term.is_empty()).collect()
}

fn holds(term: &str, value: &dyn Fn(&str) -> Option<String>) -> bool {
    for (word, wanted) in [(" notin ", false), (" in ", true)] {
        if let Some((key, inside)) = term.split_once(word) {
            let mut listed = inside.trim().trim_matches(['(', ')']).split(',').map(str::trim);
            let found = value(key.trim());
            return listed.any(|one| found.as_deref() == Some(one)) == wanted;
        }
    }
    for (sign, wanted) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, right)) = term.split_once(sign) {
            return (value(key.trim()).as_deref() == Some(right.trim())) == wanted;
        }
    }
    term.strip_prefix('!').map_or_else(|| value(term).is_some(), |key| value(key.trim()).is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const PODS: &str = "\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {tier: web}}, spec: {nodeName: n1}}
- {apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop, labels: {tier: db}}}
- {apiVersion: v1, kind: Pod, metadata: {name: c}}
";

    fn wanted(namespace: &str, labels: &str, fields: &str) -> Wanted {
        let (labels, fields) = (terms(labels), terms(fields));
        Wanted { group: String::new(), plural: "pods".into(), namespace: namespace.into(), labels, fields }
    }

    fn names(store: &Store, wanted: &Wanted) -> Vec<String> {
        store.current(wanted).iter().map(|pod| text(pod, "metadata.name")).collect()
    }

    #[test]
    fn selectors_choose_objects() {
        let store = Store::new(PODS).unwrap();
        assert_eq!(names(&store, &wanted("", "", "")), ["c", "a", "b"]);
        assert_eq!(names(&store, &wanted("shop", "", "")), ["a", "b"]);
        assert_eq!(names(&store, &wanted("", "tier in (db,x)", "")), ["b"]);
        assert_eq!(names(&store, &wanted("", "tier!=db", "")), ["c", "a"]);
        assert_eq!(names(&store, &wanted("", "!tier", "")), ["c"]);
        assert_eq!(names(&store, &wanted("", "", "spec.nodeName=n1")), ["a"]);
    }

    #[test]
    fn an_object_that_leaves_the_selection_is_deleted_for_the_watch() {
        let mut store = Store::new(PODS).unwrap();
        let (web, before) = (wanted("", "tier=web", ""), store.version);
        store.apply("{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {tier: db}}}").unwrap();
        store.apply("{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop, labels: {tier: web}}}").unwrap();
        let events: Vec<_> =
            store.since(before, &web).into_iter().map(|(kind, pod)| (kind, text(&pod, "metadata.name"))).collect();
        assert_eq!(events, [("DELETED", "a".into()), ("ADDED", "b".into())]);
    }

    #[test]
    fn an_unknown_kind_and_a_missing_object_are_errors() {
        assert!(Store::new("{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}").is_err());
        assert!(Store::new(PODS).unwrap().delete("{apiVersion: v1, kind: Pod, metadata: {name: z}}").is_err());
    }
}
