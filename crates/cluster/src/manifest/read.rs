//! Objects out of files.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::yaml::{self, Node};
use crate::types::{AllLabels, EndpointSlice, Endpoints, Namespace, Pod, Service, ServiceImport};

/// The largest file.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;

/// How many files are read.
pub(super) const FILES_MAX: usize = 10_000;

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The file, or the directory.
    pub file: PathBuf,
    /// The line, counted from 1; 0 if it is not about a place in the file.
    pub line: usize,
    /// The column, counted from 1; 0 if it is not about a place in the file.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl ManifestError {
    pub(super) fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into() }
    }

    fn within(file: &Path, error: yaml::Error) -> Self {
        let (line, column) = error.place.map_or((0, 0), |place| (place.line, place.column));
        Self { file: file.to_owned(), line, column, message: error.message }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ManifestError {}

/// The objects of a file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Objects {
    pub(super) namespaces: Vec<Namespace>,
    pub(super) services: Vec<Service>,
    pub(super) imports: Vec<ServiceImport>,
    pub(super) slices: Vec<EndpointSlice>,
    pub(super) endpoints: Vec<Endpoints>,
    pub(super) pods: Vec<Pod<AllLabels>>,
}

/// Reads the objects of a file's text; every document that is wrong gives an error.
pub(super) fn objects(file: &Path, text: &str) -> Result<Objects, Vec<ManifestError>> {
    let documents = yaml::documents(text).map_err(|error| vec![ManifestError::within(file, error)])?;
    let mut objects = Objects::default();
    let mut errors = Vec::new();
    for document in &documents {
        objects.take(document, "", &mut |error| errors.push(ManifestError::within(file, error)));
    }
    if errors.is_empty() { Ok(objects) } else { Err(errors) }
}

impl Objects {
    /// Takes one object, or those of a list. `kind` is that of a list's items, which may leave it out.
    fn take(&mut self, node: &Node, kind: &str, report: &mut dyn FnMut(yaml::Error)) {
        let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
        let own = text("kind");
        let kind = if own.is_empty() { kind } else { own };
        let version = text("apiVersion");
        if let Some(of) = kind.strip_suffix("List")
            && let Some(items) = node.get("items")
        {
            for item in items.items() {
                self.take(item, of, report);
            }
            return;
        }
        let taken = match (version, kind) {
            ("v1" | "", "Namespace") => read(node).map(|read: Namespace| self.namespaces.push(read)),
            ("v1" | "", "Service") => read(node).map(|mut read: Service| {
                in_a_namespace(&mut read.metadata.namespace);
                read.spec.ports.iter_mut().for_each(|port| or_tcp(&mut port.protocol));
                self.services.push(read);
            }),
            ("multicluster.x-k8s.io/v1alpha1" | "", "ServiceImport") => read(node).map(|mut read: ServiceImport| {
                in_a_namespace(&mut read.metadata.namespace);
                read.spec.ports.iter_mut().for_each(|port| or_tcp(&mut port.protocol));
                self.imports.push(read);
            }),
            ("v1" | "", "Endpoints") => read(node).map(|mut read: Endpoints| {
                in_a_namespace(&mut read.metadata.namespace);
                let ports = read.subsets.iter_mut().flat_map(|subset| subset.ports.iter_mut());
                ports.for_each(|port| or_tcp(port.protocol.get_or_insert_default()));
                self.endpoints.push(read);
            }),
            ("v1" | "", "Pod") => read(node).map(|mut read: Pod<AllLabels>| {
                in_a_namespace(&mut read.metadata.namespace);
                self.pods.push(read);
            }),
            ("discovery.k8s.io/v1" | "", "EndpointSlice") => read(node).map(|mut read: EndpointSlice| {
                in_a_namespace(&mut read.metadata.namespace);
                read.ports.iter_mut().for_each(|port| or_tcp(port.protocol.get_or_insert_default()));
                self.slices.push(read);
            }),
            _of_no_use_to_dns => return,
        };
        if let Err(error) = taken {
            report(error);
        }
    }
}

fn read<T: DeserializeOwned>(node: &Node) -> Result<T, yaml::Error> {
    #[derive(Deserialize)]
    struct Named {
        metadata: Name,
    }
    #[derive(Deserialize)]
    struct Name {
        name: String,
    }
    // A missing name is the object's fault, not some field's.
    let named =
        Named::deserialize(node).map_err(|error| yaml::Error { place: error.place.or(Some(node.place)), ..error })?;
    if named.metadata.name.is_empty() {
        return Err(yaml::Error::at(node.place, "metadata.name is empty"));
    }
    T::deserialize(node)
}

/// An object that names no namespace is in `default`, as for `kubectl apply`.
fn in_a_namespace(namespace: &mut String) {
    if namespace.is_empty() {
        namespace.push_str("default");
    }
}

/// The API server writes TCP where no protocol is given.
fn or_tcp(protocol: &mut String) {
    if protocol.is_empty() {
        protocol.push_str("TCP");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn read(text: &str) -> Result<Objects, Vec<ManifestError>> {
        objects(Path::new("lab.yaml"), text)
    }

    #[test]
    fn reads_several_documents_and_lists_and_skips_other_kinds() {
        let read = read(
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n# nothing\n---\napiVersion: apps/v1\nkind: Deployment\nspec: {selector: {matchLabels: {a: b}}}\n---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: k}\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: n}}\n- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s}}\n---\napiVersion: v1\nkind: NamespaceList\nitems: [{metadata: {name: n}}]\n",
        )
        .unwrap();
        assert_eq!(read.services.len(), 1);
        assert_eq!(read.services[0].metadata.namespace, "default");
        assert_eq!((read.pods.len(), read.slices.len(), read.namespaces.len()), (1, 1, 1));
    }

    #[test]
    fn every_wrong_document_gives_an_error_with_its_place() {
        let errors = read("apiVersion: v1\nkind: Service\nmetadata: {}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: 80\n").unwrap_err();
        let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert!(shown[0].starts_with("lab.yaml:3:11: missing field `name`"), "{shown:?}");
        assert!(shown[1].starts_with("lab.yaml:9:10: "), "{shown:?}");
        assert_eq!(shown.len(), 2);
    }

    #[test]
    fn a_port_without_a_protocol_is_tcp() {
        let read = read("kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n---\nkind: EndpointSlice\nmetadata: {name: a}\nports: [{port: 80}]\n").unwrap();
        assert_eq!(read.services[0].spec.ports[0].protocol, "TCP");
        assert_eq!(read.slices[0].ports[0].protocol.as_deref(), Some("TCP"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(1000))]
        #[test]
        fn whatever_stands_in_a_file_gives_objects_or_errors(text in "(kind: (Pod|Service|List)\n|metadata: |items:|spec: |- |[-:{}\\[\\],&*!|>'\"#%@ \n\ta-z0-9~?]){0,60}") {
            let _either = read(&text);
        }
    }
}
