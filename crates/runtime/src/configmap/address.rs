//! Which ConfigMap, and which key of it.

use std::fmt;

use catena_core::corefile::COREFILE_KEY;

/// The longest name of an object, and of a key.
const NAME_BYTES_MAX: usize = 253;
/// The longest name of a namespace (RFC 1123 label).
const LABEL_BYTES_MAX: usize = 63;

/// A key of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The namespace.
    pub namespace: String,
    /// The ConfigMap's name.
    pub name: String,
    /// The key of its data that holds the Corefile.
    pub key: String,
}

impl Address {
    /// Reads `NAMESPACE/NAME[/KEY]`; the key is `Corefile` unless given.
    ///
    /// # Errors
    /// Which part cannot be a name in Kubernetes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let (namespace, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let key = parts.next().unwrap_or(COREFILE_KEY);
        if parts.next().is_some() {
            return Err("there is more behind the key".to_owned());
        }
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_made_of = |word: &str, max: usize, fits: &dyn Fn(u8) -> bool| {
            !word.is_empty() && word.len() <= max && word.bytes().all(fits)
        };
        if !is_made_of(namespace, LABEL_BYTES_MAX, &lower) {
            return Err(format!("'{namespace}' is no name of a namespace"));
        }
        if !is_made_of(name, NAME_BYTES_MAX, &|byte| lower(byte) || byte == b'.') {
            return Err(format!("'{name}' is no name of a ConfigMap"));
        }
        let of_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !is_made_of(key, NAME_BYTES_MAX, &of_key) || key == "." || key == ".." {
            return Err(format!("'{key}' is no key of a ConfigMap"));
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), key: key.to_owned() })
    }
}

/// `configmap/NAMESPACE/NAME/KEY`, as messages name it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configmap/{}/{}/{}", self.namespace, self.name, self.key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_key_is_corefile_unless_given() {
        let shown = |text| Address::parse(text).unwrap().to_string();
        assert_eq!(shown("kube-system/coredns"), "configmap/kube-system/coredns/Corefile");
        assert_eq!(shown("kube-system/coredns.v2/my_Key"), "configmap/kube-system/coredns.v2/my_Key");
    }

    #[test]
    fn what_cannot_be_a_name_is_told() {
        for (text, told) in [
            ("", "'' is no name of a namespace"),
            ("kube-system", "'' is no name of a ConfigMap"),
            ("Kube/coredns", "'Kube' is no name of a namespace"),
            ("a/b?watch=1", "'b?watch=1' is no name of a ConfigMap"),
            ("a/b/", "'' is no key of a ConfigMap"),
            ("a/b/..", "'..' is no key of a ConfigMap"),
            ("a/b/c/d", "there is more behind the key"),
        ] {
            assert_eq!(Address::parse(text), Err(told.to_owned()));
        }
    }

    #[test]
    fn a_namespace_may_be_as_long_as_a_label() {
        assert!(Address::parse(&format!("{}/x", "n".repeat(LABEL_BYTES_MAX))).is_ok());
        assert!(Address::parse(&format!("{}/x", "n".repeat(LABEL_BYTES_MAX + 1))).is_err());
        assert!(Address::parse(&format!("n/{}", "x".repeat(NAME_BYTES_MAX))).is_ok());
        assert!(Address::parse(&format!("n/{}", "x".repeat(NAME_BYTES_MAX + 1))).is_err());
    }
}
