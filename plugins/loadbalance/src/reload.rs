//! The weights in use, and the task that looks at their file again.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use catena_core::prelude::*;
use catena_core::{Log, Service, StartContext};
use catena_gocompat::duration::GoDuration;

use crate::config::WeightFile;
use crate::weights::{self, Weights};

/// What CoreDNS says of a file that cannot be opened.
const OPEN: &str = "weight file open error";

/// The weights of one block and where they come from.
pub(crate) struct Weighing {
    file: WeightFile,
    /// What queries see.
    pub(crate) weights: ArcSwap<Weights>,
    /// What the file held when it was last looked at; none if it could not be read.
    contents: Mutex<Option<Vec<u8>>>,
    log: Log,
}

impl Weighing {
    /// Reads the file for the first time. A file that is not there yet may come, if it is looked at again.
    pub(crate) fn new(file: WeightFile, cx: &mut Setup<'_>) -> Result<Self, Diagnostic> {
        let contents = cx.read_file(&file.path).ok();
        let weights = match &contents {
            Some(contents) => Weights::parse(contents, &file.path.to_string_lossy()),
            None if file.reload.is_zero() => Err(OPEN.to_owned()),
            None => Ok(Weights::default()),
        };
        let mut words = cx.cursor();
        words.next();
        let weights = weights.map_err(|error| words.plain_err(error))?;
        Ok(Self { file, weights: ArcSwap::from_pointee(weights), contents: Mutex::new(contents), log: cx.log() })
    }

    /// Looks at the file again and takes over what changed. A broken file is not tried again before it changes.
    fn look(&self) {
        let name = self.file.path.to_string_lossy();
        let Ok(contents) = weights::read(&self.file.path) else {
            self.log.error(OPEN);
            return;
        };
        let mut known = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() == Some(&contents) {
            return;
        }
        match Weights::parse(&contents, &name) {
            Ok(weights) => {
                self.weights.store(Arc::new(weights));
                self.loaded();
            }
            Err(error) => self.log.error(error),
        }
        *known = Some(contents);
    }

    fn loaded(&self) {
        self.log.info(format_args!("Successfully reloaded weight file {}", self.file.path.display()));
    }
}

/// Tells of the first reading and starts the task.
pub(crate) struct Reload(pub(crate) Arc<Weighing>);

#[async_trait]
impl Service for Reload {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        let weighing = Arc::clone(&self.0);
        if weighing.contents.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            weighing.loaded();
        } else {
            let again = GoDuration::from_std(weighing.file.reload);
            weighing.log.warning(format_args!("Failed to open weight file:{OPEN}. Will try again in {again}"));
        }
        if weighing.file.reload.is_zero() {
            return Ok(());
        }
        let started = cx.spawner.spawn(Box::pin(async move {
            loop {
                tokio::time::sleep(weighing.file.reload).await;
                weighing.look();
            }
        }));
        if !started {
            self.0.log.error("no task for looking at the weight file again");
        }
        Ok(())
    }
}
