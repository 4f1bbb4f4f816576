//! What several commands take.

use super::exit::Exit;
use super::local::HOST;
use super::terminal;
use crate::plan::{Policy, Removal};
use crate::values::{Pattern, VmName};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Which fleet, for commands whose only arguments are its files.
#[derive(Debug, Args)]
pub(super) struct FileArguments {
    /// The fleet files, or folders of them; one fleet may be in several files, and `-` is standard input [default:
    /// $ARMFLEET_FILE, else fleet.yaml]
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) options: FleetOptions,
}

/// Which fleet, for every command that reads one.
#[derive(Debug, Args)]
pub(super) struct FleetOptions {
    /// A fleet file, or a folder of them; may be repeated
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Vec<PathBuf>,
    /// The value of a variable that the fleet file declares in `vars`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) var: Vec<(String, String)>,
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn sha256(text: &str) -> Result<String, String> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digest = is_digest.then(|| text.to_ascii_lowercase());
    digest.ok_or_else(|| "a SHA-256 has 64 hexadecimal digits".to_owned())
}

/// A commit's full name, as `git rev-parse` prints it: a shorter one may come to mean another.
pub(super) fn commit(text: &str) -> Result<String, String> {
    let is_name =
        matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = is_name.then(|| text.to_ascii_lowercase());
    name.ok_or_else(|| {
        "a commit's full name has 40 or 64 hexadecimal digits; `git rev-parse HEAD` prints it"
            .to_owned()
    })
}

/// What changes a plan, for every command that makes one.
#[derive(Debug, Args)]
pub(super) struct PlanOptions {
    /// Allow the removal of VMs that are not in the file any more; with a number, of at most so many, even if they are
    /// more than half of the host's
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true)]
    pub(super) allow_removal: Option<Option<usize>>,
    /// Only VMs whose names match (`obs-*`, `obs-[01-03]`); may be given several times. Others are neither changed nor removed
    #[arg(long, value_name = "PATTERN")]
    pub(super) vm: Vec<Pattern>,
    /// Only hosts whose names match; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub(super) host: Vec<Pattern>,
    /// Only what drifted since the last apply; changes of the file are left out
    #[arg(long)]
    pub(super) drift_only: bool,
    /// Exit with 2 if there are, or were, changes
    #[arg(long)]
    pub(super) detailed_exitcode: bool,
    /// Show how the definition of each domain changes, too
    #[arg(long)]
    pub(super) diff: bool,
    /// Erase the system disk of this VM, its first, and install it again
    #[arg(long, value_name = "VM")]
    pub(super) reinstall: Option<VmName>,
    /// Accept this VM's images and boot share as they are now, although they are not those of the last apply; may be
    /// given several times
    #[arg(long, value_name = "VM")]
    pub(super) accept: Vec<VmName>,
    /// Replace this VM's system disk or boot share by an empty one, or let another disk or interface be its guest's first
    /// (/dev/vda, eth0), as the file says; the old one stays where it is. May be given several times
    #[arg(long, value_name = "VM")]
    pub(super) allow_replace: Vec<VmName>,
}

/// What the user is asked before a plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To confirm the whole plan.
    Everything,
    /// Nothing: what needs a permission needs its option.
    Nothing,
}

/// What `--allow-removal` permits.
pub(super) fn removal(allowed: Option<Option<usize>>, asked: Asked) -> Removal {
    match (allowed, asked) {
        (Some(Some(limit)), _) => Removal::UpTo(limit),
        (Some(None), _) => Removal::Allowed,
        (None, Asked::Everything) => Removal::Asked,
        (None, Asked::Nothing) => Removal::Refused,
    }
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For people
    Text,
    /// For programs: armfleet-plan/1, whose schema is schema/plan.schema.json
    Json,
    /// For a comment on a pull request
    Markdown,
}

/// How the state of VMs is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StatusFormat {
    /// For people
    Text,
    /// For programs: armfleet-status/1, whose schema is schema/status.schema.json
    Json,
    /// For Prometheus: numbers for each VM
    Openmetrics,
}

/// How anything else is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

impl PlanOptions {
    /// Fails unless `--host` chooses the one host there is.
    pub(super) fn check_hosts(&self) -> Result<(), Exit> {
        if self.host.is_empty() || self.host.iter().any(|pattern| pattern.matches(HOST)) {
            return Ok(());
        }
        let patterns: Vec<String> = self.host.iter().map(ToString::to_string).collect();
        let remedy = format!("the file has the host {HOST}");
        terminal::error(&NoSuchHost(patterns.join(", ")), Some(&remedy));
        Err(Exit::Invalid)
    }

    /// What the user permits.
    pub(super) fn policy(&self, asked: Asked) -> Policy {
        Policy {
            removal: removal(self.allow_removal, asked),
            vms: self.vm.clone(),
            drift_only: self.drift_only,
            reinstall: self.reinstall.clone(),
            accept: self.accept.clone(),
            allow_replace: self.allow_replace.clone(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no host matches {0}")]
struct NoSuchHost(String);
