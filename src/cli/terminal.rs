//! Printing and asking: the only place that writes to standard output and standard error.

use super::exit::Exit;
use super::wrap::{columns, wrapped};
use crate::plan::Failure;
use crate::report::{Paint, Tone, render_json};
use crate::values::Secrets;
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error;
use std::io::{BufRead as _, IsTerminal as _, Write, stderr, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Prints a result. A closed pipe is no error: its reader has read enough.
pub(super) fn result(text: &str) {
    write(&mut stdout().lock(), text);
}

/// Prints a result for people: a narrow terminal gets it with its lines broken between words.
pub(super) fn prose(text: &str) {
    result(&fitting(text, columns(stdout())));
}

/// Prints something for people by the way.
pub(super) fn remark_prose(text: &str) {
    remark(&fitting(text, columns(stderr())));
}

fn fitting(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    columns.map_or(Cow::Borrowed(text), |columns| {
        Cow::Owned(wrapped(text, columns))
    })
}

/// Prints a result for programs.
pub(super) fn json(report: &impl Serialize) -> Result<(), Exit> {
    let text = render_json(report).map_err(|cause| {
        error(&cause, None);
        Exit::Failed
    })?;
    result(&text);
    Ok(())
}

/// Prints something by the way.
pub(super) fn remark(text: &str) {
    write(&mut stderr().lock(), text);
}

/// Prints an error with its causes, and what to do about it.
pub(super) fn error(error: &dyn Error, remedy: Option<&str>) {
    tell(Tone::Bad, "error:", &Failure::of(error, remedy));
}

/// The same for what went wrong beside what was asked for.
pub(super) fn warning(failure: &Failure) {
    tell(Tone::Attention, "warning:", failure);
}

fn tell(tone: Tone, what: &str, failure: &Failure) {
    let mut text = format!("{} {failure}\n", remark_paint().tone(tone, what));
    for cause in failure.causes.iter().skip(1) {
        text += &format!("  caused by: {}\n", cause.replace('\n', "\n    "));
    }
    if let Some(remedy) = &failure.remedy {
        text += &format!("  -> {remedy}\n");
    }
    remark_prose(&text);
}

fn write(to: &mut dyn Write, text: &str) {
    let text = redacted(text);
    // There is nowhere left to report it.
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// What is never printed, of all that a process reads and sees.
static SECRETS: RwLock<Option<Secrets>> = RwLock::new(None);

/// From now on, shows none of these.
pub(super) fn keep_secret(secrets: &Secrets) {
    let mut known = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().add(secrets);
}

/// The text as it may be written to a file for everybody.
pub(super) fn redacted(text: &str) -> Cow<'_, str> {
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    let secrets = secrets.as_ref();
    secrets.map_or(Cow::Borrowed(text), |secrets| secrets.redact(text))
}

static VERBOSE: AtomicBool = AtomicBool::new(false);

/// From now on, tells more or not.
pub(super) fn be_verbose(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
}

/// Whether more is to be told.
pub(super) fn is_verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

/// Standard error for traces, a line at a time.
#[derive(Debug)]
pub(super) struct Traces;

impl Write for Traces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        remark(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How results are printed: in colour on a terminal, unless `NO_COLOR` or `CLICOLOR` forbid it.
pub(super) fn paint() -> Paint {
    paint_on(&stdout())
}

/// The same for what is printed by the way.
pub(super) fn remark_paint() -> Paint {
    paint_on(&stderr())
}

/// Whether standard output is a terminal.
pub(super) fn shows_results() -> bool {
    stdout().is_terminal()
}

/// Whether standard error is a terminal, which shows remarks at once.
pub(super) fn shows_remarks() -> bool {
    stderr().is_terminal()
}

/// The device and the inode that remarks go to.
pub(super) fn remarks_are() -> Option<(u64, u64)> {
    let stat = rustix::fs::fstat(stderr()).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// Prints what the reader of the command line has to say, and tells whether that is a mistake: help and version are asked
/// for. A closed pipe is silent.
pub(super) fn usage(message: &clap::Error) -> bool {
    let _ = message.print();
    message.use_stderr()
}

fn paint_on(stream: &impl anstream::stream::RawStream) -> Paint {
    match anstream::AutoStream::choice(stream) {
        anstream::ColorChoice::Never => Paint::Plain,
        _ => Paint::Colours,
    }
}

/// Whether there is a terminal to ask on.
pub(super) fn can_ask() -> bool {
    stdin().is_terminal() && shows_remarks()
}

/// Asks for a plain `yes`; anything else, and the end of input, is no.
pub(super) fn asked_yes(question: &str) -> bool {
    remark(question);
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}
