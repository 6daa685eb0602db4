//! What is wrong with a rule, and with which of its words.

/// A fault of a rule.
#[derive(Debug)]
pub(crate) struct Fault<'a> {
    /// In CoreDNS's words.
    pub(crate) text: String,
    /// The very word of the rule, not one that reads the same.
    pub(crate) word: Option<&'a str>,
    /// What could stand in its place.
    pub(crate) known: &'static [&'static str],
}

impl<'a> Fault<'a> {
    /// A fault of the rule as a whole.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), word: None, known: &[] }
    }

    /// A fault of a word.
    pub(crate) fn at(word: &'a str, text: impl Into<String>) -> Self {
        Self { text: text.into(), word: Some(word), known: &[] }
    }

    /// Names what could stand in the place of the word.
    pub(crate) fn known(self, known: &'static [&'static str]) -> Self {
        Self { known, ..self }
    }
}
