//! What plugins keep with a query: values of their own, and labels for others to read.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::Query;

/// A key for what a plugin keeps with a query, given out at setup by [`crate::Setup::slot`].
pub struct Slot<T> {
    index: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Slot<T> {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, of: PhantomData }
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Slot<T> {}

impl Query {
    /// Whether labels can be set on the query: its block has the plugin `metadata`.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.block().is_some_and(|block| block.settings.label_zones.is_some())
    }

    /// The value of a label such as `forward/upstream`: what a plugin set on the way, else what a plugin knows of queries for names in
    /// the zones of `metadata`. CoreDNS: `metadata.ValueFunc`.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some((_, value)) = self.0.labels.iter().find(|(known, _)| *known == name) {
            return Some(value.as_str().into());
        }
        let block = self.block()?;
        let zones = block.settings.label_zones.as_ref()?;
        zones.longest(self.original().lower().as_slice(), self.original().labels())?;
        block.labels.iter().rev().find_map(|labels| labels.label(name, self))
    }

    /// Sets a label, or gives it another value, if the block has the plugin `metadata`; the value is made only then.
    pub fn set_label(&mut self, name: &'static str, value: impl FnOnce(&Self) -> String) {
        if self.has_labels() {
            let value = value(self);
            match self.0.labels.iter_mut().find(|(known, _)| *known == name) {
                Some((_, before)) => *before = value,
                None => self.0.labels.push((name, value)),
            }
        }
    }

    /// Keeps something of a plugin's with the query.
    pub fn put<T: Send + Sync + 'static>(&mut self, slot: Slot<T>, value: T) {
        let slots = &mut self.0.slots;
        if slots.len() <= slot.index {
            slots.resize_with(slot.index + 1, || None);
        }
        slots[slot.index] = Some(Box::new(value));
    }

    /// Looks at what a plugin keeps with the query.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self, slot: Slot<T>) -> Option<&T> {
        self.0.slots.get(slot.index)?.as_ref()?.downcast_ref()
    }

    /// Takes out what a plugin keeps with the query.
    pub fn take<T: Send + Sync + 'static>(&mut self, slot: Slot<T>) -> Option<T> {
        let kept = self.0.slots.get_mut(slot.index)?.take()?;
        kept.downcast().ok().map(|value| *value)
    }
}
