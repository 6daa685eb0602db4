//! Files looked at from time to time, and secondaries told of what changed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{Linked, Log, Notifier, Service, StartContext};
use catena_gocompat::os::error_text;
use catena_zone::{Checked, ZoneFile};

use crate::config::FileZone;

/// The zones with how often their files are looked at.
pub(crate) struct Watch {
    files: Vec<(Arc<ZoneFile>, Option<Duration>)>,
    notifier: OnceLock<Arc<dyn Notifier>>,
    log: Log,
}

impl Watch {
    pub(crate) fn new(files: Vec<FileZone>, log: Log) -> Self {
        let files = files.into_iter().map(|zone| (zone.file, zone.reload)).collect();
        Self { files, notifier: OnceLock::new(), log }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &(Arc<ZoneFile>, Option<Duration>)> + '_ {
        self.files.iter()
    }

    /// Remembers who tells secondaries, if the block has `transfer`.
    pub(crate) fn find_notifier(&self, linked: &Linked<'_>) {
        if let Some((_, notifier)) = linked.offers::<dyn Notifier>().next() {
            let _ = self.notifier.set(notifier);
        }
    }

    fn notify(&self, file: &ZoneFile) {
        if let Some(notifier) = self.notifier.get() {
            notifier.notify(file.name().name().for_slice());
        }
    }

    /// Takes a look at a file and tells what it came to.
    fn look(&self, file: &ZoneFile) {
        let (name, path) = (file.name(), file.path());
        match file.check() {
            Checked::Unchanged => {}
            Checked::Loaded(serial) => {
                self.log
                    .info(format_args!("Successfully reloaded zone \"{name}\" in {path:?} with {serial} SOA serial"));
                self.notify(file);
            }
            Checked::Unreadable(error) => {
                let error = error_text(&error);
                let path_text = path.display();
                self.log.error(format_args!("Failed to open zone \"{name}\" in {path:?}: open {path_text}: {error}"));
            }
            Checked::Broken(error) => {
                self.log.error(format_args!("Parsing zone \"{name}\": {}", error.render()));
            }
        }
    }
}

#[async_trait]
impl Service for Watch {
    async fn start(&self, cx: &StartContext<'_>) -> Result<(), Diagnostic> {
        for (file, every) in &self.files {
            let Some(every) = *every else { continue };
            let watch = Self { files: Vec::new(), notifier: self.notifier.clone(), log: self.log.clone() };
            let (watch, file) = (Arc::new(watch), Arc::clone(file));
            let task = Box::pin(async move {
                loop {
                    tokio::time::sleep(every).await;
                    let (watch, file) = (Arc::clone(&watch), Arc::clone(&file));
                    // A failed join is a panic in the reader; the next round tries again.
                    if let Err(error) = tokio::task::spawn_blocking(move || watch.look(&file)).await
                        && error.is_cancelled()
                    {
                        return;
                    }
                }
            });
            if !cx.spawner.spawn(task) {
                self.log.warning("No task is left to watch zone files");
            }
        }
        Ok(())
    }

    async fn serving(&self, _cx: &StartContext<'_>) {
        for (file, _) in &self.files {
            self.notify(file);
        }
    }
}
