//! Sources that tell by themselves when they have changed.

use std::fmt;
use std::sync::Arc;

use catena_core::{Clock, Log, Metrics, async_trait};

use crate::load::Failure;
use crate::source::Text;

/// What a live source can use.
pub struct LiveContext<'a> {
    /// Where its lines go.
    pub log: &'a Log,
    /// The server's metrics.
    pub metrics: &'a Metrics,
    /// The clock.
    pub clock: &'a Arc<dyn Clock>,
}

/// A source that is reloaded as soon as it changes. A file is looked at every now and then instead.
#[async_trait]
pub trait LiveSource: fmt::Debug + Send + Sync + 'static {
    /// Begins, and waits until there is something to load.
    ///
    /// # Errors
    /// Why there is nothing: the server does not start then.
    async fn start(&self, context: &LiveContext<'_>) -> Result<(), String>;

    /// The configuration as it was seen last. It asks nobody.
    ///
    /// # Errors
    /// What was seen last is none.
    fn load(&self) -> Result<Text, String>;

    /// Waits for the next change; one that came while nobody waited counts.
    async fn changed(&self);

    /// What became of the configuration that was loaded last.
    async fn told(&self, outcome: Result<(), &Failure>);
}
