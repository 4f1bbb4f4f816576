//! Saved plans in their files. A plan is applied without a question and as root, so a user who can write its file is as
//! powerful as root.

use super::caller::STDIN;
use super::exit::Exit;
use super::fleet::Unset;
use super::input::{self, InputError, open_regular};
use super::{fleet, output, terminal, texts};
use crate::fleet::{FleetSource, Spec};
use crate::inventory::digest;
use crate::plan::{SaveError, SavedPlan, SavedPlanError, touched_paths};
use crate::problem::{ProblemKind, Problems};
use crate::report::PlanReport;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::error::Error;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Far above the plan of any fleet; a larger file is none.
const SIZE_LIMIT: u64 = 256 << 20;
/// As much of a file as tells its kind.
const BEGIN_LIMIT: u64 = 4096;
/// Write permission of the group, which an ACL's entries are in, too, and of all others.
const OTHERS_WRITE: u32 = 0o022;
/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// Writes a plan to its file and says how it is known, or prints why it cannot be saved.
pub(super) fn write(path: &Path, saved: Result<SavedPlan, SaveError>) -> Result<(), Exit> {
    let text = saved.and_then(|saved| saved.render()).map_err(|error| {
        terminal::error(&error, Some(save_remedy(&error)));
        match error {
            SaveError::WithoutSecrets(_) => Exit::Refused,
            SaveError::Incomplete(_) | SaveError::Json(_) => Exit::Failed,
        }
    })?;
    output::write(path, text.as_bytes())?;
    let (path, sha256) = (path.display(), digest(&text));
    terminal::remark(&format!(
        "saved in {path}, SHA-256 {sha256}\n  -> armfleet apply --plan {path} --plan-sha256 {sha256}\n"
    ));
    Ok(())
}

const fn save_remedy(error: &SaveError) -> &'static str {
    match error {
        SaveError::WithoutSecrets(_) => "set them, and plan without --no-secrets",
        SaveError::Incomplete(_) | SaveError::Json(_) => {
            "resolve the lines marked `?`, then plan again"
        }
    }
}

/// Reads a plan to apply it, and its fleet with the present secrets. Prints why it cannot be.
pub(super) fn read_to_apply(path: &Path, sha256: Option<&str>) -> Result<(SavedPlan, Spec), Exit> {
    let text = trusted(path, sha256).map_err(|error| unusable(path, error))?;
    let saved = parse(path, &text)?;
    let files = saved.source.files();
    let texts = texts::read(&files, &saved.source.vars);
    let secrets = fleet::secrets(texts::environment_of(&files, &texts), Unset::Refused);
    let now = FleetSource::kept_texts(&texts);
    let spec = saved.source.read(secrets, Some(texts));
    let spec = spec.map_err(|problems| refused(path, &problems))?;
    if let Some(text) = saved.moved_text(&now) {
        let remedy = "plan again, with the files that are there now: armfleet plan --out FILE";
        return Err(fail(path, FleetError::Text(text.to_string()), remedy));
    }
    if let Some(vm) = &saved.policy.reinstall {
        fleet::vm(&spec, vm.as_str())?;
    }
    Ok((saved, spec))
}

/// Whether a file is a saved plan, by how it begins: one that is cut or of another version is a plan, too.
pub(super) fn is_plan(path: &Path) -> bool {
    let begin = input::read(path, BEGIN_LIMIT);
    begin.is_ok_and(|begin| SavedPlan::begins(&begin))
}

/// Reads a plan to show it, whoever wrote it, and its fleet without secrets. Prints why it cannot be.
pub(super) fn read_to_show(path: &Path) -> Result<(SavedPlan, Spec), Exit> {
    let read = || {
        let (file, _) = open_regular(path, OFlags::empty())?;
        text(file)
    };
    let text = read().map_err(|error| unusable(path, error))?;
    let saved = parse(path, &text)?;
    let spec = saved.source.read_templates();
    let spec = spec.map_err(|problems| refused(path, &problems))?;
    Ok((saved, spec))
}

/// A saved plan's report, with every path that it touches.
pub(super) fn report<'a>(saved: &'a SavedPlan, spec: &Spec, diff: bool) -> PlanReport<'a> {
    let definitions = diff.then_some(&saved.definitions);
    let mut report = PlanReport::new(&saved.plan, definitions);
    report.paths = Some(touched_paths(&saved.plan, spec));
    report.commit = saved.commit.as_deref();
    report
}

/// The text of a plan's file, if only root and the user at work can have written it, or if it has this digest.
fn trusted(path: &Path, sha256: Option<&str>) -> Result<String, FileError> {
    if path == Path::new(STDIN) {
        let wanted = sha256.ok_or(FileError::Stdin)?;
        let text = text(io::stdin().lock())?;
        return has_digest(&text, wanted).map(|()| text);
    }
    let (file, metadata) = open_regular(path, OFlags::NOFOLLOW)?;
    let Some(wanted) = sha256 else {
        check_writers(&metadata)?;
        return text(file);
    };
    let text = text(file)?;
    has_digest(&text, wanted).map(|()| text)
}

fn has_digest(text: &str, wanted: &str) -> Result<(), FileError> {
    match digest(text) {
        seen if seen == wanted => Ok(()),
        seen => Err(FileError::OtherDigest(seen)),
    }
}

fn text(file: impl Read) -> Result<String, FileError> {
    let mut text = String::new();
    file.take(SIZE_LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// Fails if anybody but root and the user at work can write the file.
fn check_writers(file: &Metadata) -> Result<(), FileError> {
    let user = rustix::process::geteuid();
    let caller = user.is_root().then(|| std::env::var("SUDO_UID").ok());
    let caller: Option<u32> = caller.flatten().and_then(|uid| uid.parse().ok());
    let owner = file.uid();
    if owner != 0 && owner != user.as_raw() && Some(owner) != caller {
        return Err(FileError::Owner(owner));
    }
    match file.mode() & PERMISSIONS {
        mode if mode & OTHERS_WRITE == 0 => Ok(()),
        mode => Err(FileError::Writable(mode)),
    }
}

fn parse(path: &Path, text: &str) -> Result<SavedPlan, Exit> {
    SavedPlan::read(text.as_bytes()).map_err(|error| {
        let remedy = plan_remedy(&error).to_owned();
        fail(path, error, &remedy)
    })
}

const fn plan_remedy(error: &SavedPlanError) -> &'static str {
    match error {
        SavedPlanError::OtherVersion(_) | SavedPlanError::OtherFormat(_) => {
            "plan again with this version: armfleet plan --out FILE"
        }
        SavedPlanError::NotAPlan(_) => "name a file that armfleet plan --out wrote",
    }
}

fn unusable(path: &Path, error: FileError) -> Exit {
    let remedy = error.remedy(&path.display().to_string());
    fail(path, error, &remedy)
}

fn refused(path: &Path, problems: &Problems) -> Exit {
    fleet::invalid(problems);
    if problems
        .iter()
        .all(|problem| problem.code == ProblemKind::Environment)
    {
        let remedy = "set it for armfleet apply --plan as for armfleet plan";
        return fail(path, FleetError::Environment, remedy);
    }
    let remedy = "correct the fleet file, and plan again: armfleet plan --out FILE";
    fail(path, FleetError::Refused, remedy)
}

fn fail(path: &Path, source: impl Error + 'static, remedy: &str) -> Exit {
    let path = path.display().to_string();
    let source = Box::new(source);
    terminal::error(&Unusable { path, source }, Some(remedy));
    Exit::Invalid
}

/// Why a plan's file is not read.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("it is a symbolic link")]
    Link,
    #[error("it is not a regular file")]
    NotRegular,
    #[error("it is owned by uid {0}, who could have changed it; a plan is as powerful as root")]
    Owner(u32),
    #[error(
        "users other than its owner can write it (mode {0:04o}); a plan is as powerful as root"
    )]
    Writable(u32),
    #[error("its SHA-256 is {0}, not the one that --plan-sha256 gives")]
    OtherDigest(String),
    #[error("a plan on standard input is accepted by its digest only")]
    Stdin,
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

impl From<InputError> for FileError {
    fn from(error: InputError) -> Self {
        match error {
            InputError::NotRegular => Self::NotRegular,
            InputError::Unreadable(error) if is_link(&error) => Self::Link,
            InputError::Unreadable(error) => Self::Unreadable(error),
        }
    }
}

/// As a link is told that is not to be followed.
fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

impl FileError {
    fn remedy(&self, path: &str) -> String {
        const REVIEW: &str = "review it (armfleet show --plan";
        const DIGEST: &str = "or give the digest that plan --out printed: --plan-sha256 HEX";
        match self {
            Self::Link => {
                format!("name the file that it leads to: --plan \"$(readlink -f {path})\"")
            }
            Self::NotRegular => {
                "save the plan in a file, or give it on standard input: --plan - --plan-sha256 HEX"
                    .to_owned()
            }
            Self::Owner(_) => format!("{REVIEW} {path}), then: chown root {path}; {DIGEST}"),
            Self::Writable(_) => format!("{REVIEW} {path}), then: chmod go-w {path}; {DIGEST}"),
            Self::OtherDigest(_) => "plan again: armfleet plan --out FILE".to_owned(),
            Self::Stdin => "give the digest that plan --out printed: --plan-sha256 HEX".to_owned(),
            Self::Unreadable(_) => "name a file that armfleet plan --out wrote".to_owned(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot use the plan in {path}")]
struct Unusable {
    path: String,
    source: Box<dyn Error>,
}

/// Why the fleet files in a plan are not applied.
#[derive(Debug, thiserror::Error)]
enum FleetError {
    #[error("its fleet file is refused, as above")]
    Refused,
    #[error("its fleet file needs a variable of the environment, as above")]
    Environment,
    #[error(
        "{0} is not the file of then, and this host had no key yet by which its text could be known"
    )]
    Text(String),
}
