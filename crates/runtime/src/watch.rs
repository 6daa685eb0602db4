//! Looking at the source again and again, and at once when told to. CoreDNS: plugin/reload, and SIGUSR1.

use std::sync::Arc;
use std::time::Duration;

use catena_core::ReloadSettings;

use crate::load::{Failure, hash};
use crate::server::Server;
use crate::source::Text;

/// The time between two looks: the interval, varied by the jitter as a whole.
pub(crate) fn interval(settings: ReloadSettings) -> Duration {
    let jitter = u64::try_from(settings.jitter.as_nanos()).unwrap_or(u64::MAX);
    if jitter == 0 {
        return settings.interval;
    }
    let drawn = Duration::from_nanos(rand::random_range(0..jitter));
    (settings.interval + drawn).saturating_sub(settings.jitter / 2)
}

/// What was seen of the source and led to nothing, so that it is tried and told once.
#[derive(Default)]
struct Tried {
    /// The hash of a configuration that did not come into force.
    hash: Option<String>,
    /// A text that is no Corefile.
    text: Option<String>,
}

impl Server {
    /// Looks at the source as often as the configuration in force says, and whenever it says itself that it has changed, without end.
    pub async fn watch(self: &Arc<Self>) {
        let mut tried = Tried::default();
        loop {
            let changed = self.changed.notified();
            let interval = self.facts().await.interval;
            let due = async {
                match interval {
                    Some(interval) => tokio::time::sleep(interval).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => tried = Tried::default(),
                () = due => self.look(&mut tried).await,
                () = self.options.source.changed() => self.look(&mut tried).await,
            }
        }
    }

    async fn look(self: &Arc<Self>, tried: &mut Tried) {
        // What cannot be read now may be there at the next look.
        let Ok(text) = self.options.source.load(&self.options.default_port) else { return };
        // A default Corefile that is gone for a moment does not make way for the built-in one.
        if text.built_in {
            return;
        }
        let log = self.options.log.of("reload");
        let hash = match hash(&text, &*self.options.files) {
            Ok(hash) => hash,
            Err(failure) => {
                if tried.text.as_deref() != Some(&text.text) {
                    log.warning(format_args!("Corefile parse failed: {}", failure.whole()));
                    self.reloads_failed.with_label_values(&[] as &[&str]).inc();
                    self.options.source.told(Err(&failure)).await;
                    tried.text = Some(text.text);
                }
                return;
            }
        };
        let was_wrong = tried.text.take().is_some();
        if hash == self.facts().await.hash {
            if tried.hash.take().is_some() || was_wrong {
                self.options.source.told(Ok(())).await;
            }
            return;
        }
        if tried.hash.as_ref() == Some(&hash) {
            return;
        }
        match self.replace(text).await {
            Ok(()) => {
                *tried = Tried::default();
                self.options.source.told(Ok(())).await;
            }
            Err(failure) => {
                log.error(format_args!("Corefile changed but reload failed: {failure}"));
                self.options.source.told(Err(&failure)).await;
                tried.hash = Some(hash);
            }
        }
    }

    /// Reads the source and puts it in force, changed or not. CoreDNS: SIGUSR1.
    ///
    /// # Errors
    /// The line that says why everything stays as it is.
    pub async fn reload(self: &Arc<Self>) -> Result<(), Failure> {
        if self.facts().await.built_in {
            return Err(Failure::plain("no Caddyfile loader with which to reload Caddyfile"));
        }
        let loaded = self.options.source.load(&self.options.default_port);
        let text: Text = loaded.map_err(|reason| Failure::plain(format!("loading updated Caddyfile: {reason}")))?;
        // A default Corefile that is gone leaves in force what was in it.
        let text = if text.built_in { self.text().await } else { text };
        let outcome = self.replace(text).await;
        self.options.source.told(outcome.as_ref().copied()).await;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_varies_by_the_jitter_as_a_whole() {
        let second = Duration::from_secs(1);
        let settings = ReloadSettings { interval: 30 * second, jitter: 15 * second };
        for _ in 0..1000 {
            let drawn = interval(settings);
            assert!((Duration::from_millis(22_500)..Duration::from_millis(37_500)).contains(&drawn));
        }
        assert_eq!(interval(ReloadSettings { interval: 2 * second, jitter: Duration::ZERO }), 2 * second);
    }
}
