//! What is wrong with a rule, and with which of its words.

/// A fault of a rule.
#[derive(Debug)]
pub(crate) struct Fault<'a> {
    /// In CoreDNS's words.
    pub(crate) text: String,
    /// The very word of the rule, not one that reads the same.
    pub(crate) word: Option<&'a str>,
}

impl<'a> Fault<'a> {
    /// A fault of the rule as a whole.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), word: None }
    }

    /// A fault of a word.
    pub(crate) fn at(word: &'a str, text: impl Into<String>) -> Self {
        Self { text: text.into(), word: Some(word) }
    }
}
