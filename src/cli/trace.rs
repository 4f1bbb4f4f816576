//! Where traces go: to the journal if standard error is the journal, else to standard error.

use super::terminal;
use crate::report::Paint;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sends traces of this level and above: `ARMFLEET_LOG=debug` shows more.
pub(super) fn init(level: &str) {
    let filter = EnvFilter::try_from_env("ARMFLEET_LOG");
    let filter = filter.unwrap_or_else(|_| level.into());
    let traces = tracing_subscriber::registry().with(filter);
    // Straight to the journal each line keeps its level and its fields.
    match journal() {
        Some(journal) => traces.with(journal).init(),
        None => {
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(|| terminal::Traces)
                .with_target(false)
                .with_ansi(terminal::remark_paint() == Paint::Colours);
            traces.with(lines).init();
        }
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
