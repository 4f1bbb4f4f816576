//! Where traces go: to the journal if standard error is the journal, else to standard error.

use super::terminal;
use crate::report::Paint;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Sends traces of this level and above: `ARMFLEET_LOG=debug` shows more.
pub(super) fn init(level: &str) {
    let filter = EnvFilter::try_from_env("ARMFLEET_LOG");
    let filter = filter.unwrap_or_else(|_| level.into());
    let traces = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| terminal::Traces)
        .with_target(false)
        .with_ansi(terminal::remark_paint() == Paint::Colours);
    // Straight to the journal each line keeps its level and its fields, and nothing is redacted.
    let journal = journal();
    let lines = lines.with_filter(OfSecrets(journal.is_some().then_some(true)));
    let journal = journal.map(|journal| journal.with_filter(OfSecrets(Some(false))));
    traces.with(journal).with(lines).init();
}

/// Lets through what holds secrets, or what holds none; with none of both, all.
struct OfSecrets(Option<bool>);

impl<S> Filter<S> for OfSecrets {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let mut fields = Fields(false);
        event.record(&mut fields);
        self.0.is_none_or(|wanted| fields.0 == wanted)
    }
}

/// Whether a secret was in a field.
struct Fields(bool);

impl Visit for Fields {
    fn record_str(&mut self, _: &Field, value: &str) {
        self.0 |= terminal::redacted(value) != value;
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The journal, if systemd says that it is what standard error is (`JOURNAL_STREAM`, `systemd.exec(5)`).
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let (device, inode) = terminal::remarks_are()?;
    (stream == format!("{device}:{inode}"))
        .then(tracing_journald::layer)?
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Secrets;
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_holds_a_secret_goes_where_it_is_redacted() {
        let value = ("TRACED".to_owned(), "swordfish-of-a-trace".to_owned());
        terminal::keep_secret(&Secrets::new(BTreeMap::from([value])));
        let (plain, redacted) = (Lines::default(), Lines::default());
        let layer = |lines: &Lines, of_secrets| {
            let lines = lines.clone();
            let layer = tracing_subscriber::fmt::layer().with_writer(move || lines.clone());
            layer.with_filter(OfSecrets(Some(of_secrets)))
        };
        let first = tracing_subscriber::registry().with(layer(&plain, false));
        tracing::subscriber::with_default(first, || {
            tracing::warn!("nothing");
            tracing::warn!(error = ?"swordfish-of-a-trace", "in a field");
            tracing::warn!("a swordfish-of-a-trace in the message");
        });
        let second = tracing_subscriber::registry().with(layer(&redacted, true));
        tracing::subscriber::with_default(second, || {
            tracing::warn!("nothing");
            tracing::warn!(error = ?"swordfish-of-a-trace", "in a field");
        });
        assert!(plain.text().contains("nothing") && !plain.text().contains("swordfish"));
        assert!(redacted.text().contains("in a field") && !redacted.text().contains("nothing"));
    }
}
