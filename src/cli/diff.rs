//! `armfleet diff`

use super::arguments::{Asked, PlanFormat, removal, variable};
use super::exit::Exit;
use super::fleet::{self, Loaded, Unset};
use super::from_snapshot::SnapshotOption;
use super::git::{AtCommit, Commit};
use super::plan::{failed, plan_exits, print};
use super::{diff_plans, input, terminal, texts};
use crate::engine::observe_and_plan;
use crate::fleet::{
    FleetFile, Given, NamedText, Spec, TEXT_LIMIT, Text, TextError, Texts, read_files,
    vars_declared,
};
use crate::imagined::{self, Fleets};
use crate::plan::{Policy, WithoutChange};
use crate::report::{Basis, PlanReport};
use crate::values::{HostPath, Pattern, Secrets, VmName};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(
    override_usage = "armfleet diff [OPTIONS] OLD NEW\n       armfleet diff [OPTIONS] --git REV [FILE]...\n       armfleet diff [OPTIONS] PLAN PLAN"
)]
pub(super) struct DiffArguments {
    /// The old fleet file and the new one, or folders of fleet files; or two plans that plan --out saved. With --git, the
    /// files to compare [default: fleet.yaml]
    #[arg(value_name = "FILE", required_unless_present = "git")]
    files: Vec<PathBuf>,
    /// Compare the files with what they were at this commit, branch or tag
    #[arg(long, value_name = "REV", allow_hyphen_values = true)]
    git: Option<String>,
    /// The value of a variable, for the files that declare it in `vars`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    var: Vec<(String, String)>,
    /// Only VMs whose names match; may be given several times
    #[arg(long, value_name = "PATTERN")]
    vm: Vec<Pattern>,
    #[command(flatten)]
    snapshot: SnapshotOption,
    /// How to print it
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
    /// Show how the definition of each domain changes, too
    #[arg(long)]
    diff: bool,
    /// Exit with 2 if there are changes
    #[arg(long)]
    detailed_exitcode: bool,
    /// As for apply: allow the removal of so many VMs
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true)]
    allow_removal: Option<Option<usize>>,
    /// As for apply: let this VM's system disk or boot share be replaced by an empty one, and another disk or interface be
    /// its guest's first; may be given several times
    #[arg(long, value_name = "VM")]
    allow_replace: Vec<VmName>,
}

pub(super) fn run(arguments: &DiffArguments) -> Result<Exit, Exit> {
    if let (None, [old, new]) = (&arguments.git, arguments.files.as_slice())
        && diff_plans::are_plans(old, new)?
    {
        arguments.check_plans()?;
        return diff_plans::run(old, new, arguments.format, arguments.detailed_exitcode);
    }
    let commit;
    let (old, new) = match (&arguments.git, arguments.files.as_slice()) {
        (Some(rev), files) => {
            let files = or_default(files);
            commit = Commit::find(rev, &nearest_folder(&files[0])?)?;
            (Side::at(&commit, rev, &files)?, Side::here(&files)?)
        }
        (None, [old, new]) => {
            let new = Side::here(std::slice::from_ref(new))?;
            (
                Side::here(std::slice::from_ref(old))?.in_place_of(&new),
                new,
            )
        }
        (None, _) => {
            let remedy =
                "armfleet diff OLD NEW, or armfleet diff --git REV to compare with a commit";
            terminal::error(&NotTwo(arguments.files.len()), Some(remedy));
            return Err(Exit::Invalid);
        }
    };
    let [old_vars, new_vars] = vars(&arguments.var, [&old, &new]);
    let (old, new) = (old.with_texts(&old_vars)?, new.with_texts(&new_vars)?);
    let secrets = arguments.secrets(old.environment().into_iter().chain(new.environment()));
    let old_spec = old.spec(old_vars, &secrets, "old")?;
    let new_spec = new.spec(new_vars, &secrets, "new")?;
    let Some(new_spec) = new_spec else {
        return Err(Exit::Invalid);
    };
    if arguments.snapshot.is_given() {
        return report_on_host(arguments, old_spec.as_ref(), &new_spec);
    }
    let changed = changed([&old.side, &new.side], old_spec.as_ref(), &new_spec);
    let fleets = Fleets {
        old: old_spec.as_ref(),
        new: &new_spec,
        changed: &changed,
    };
    report(
        arguments,
        fleets,
        Basis::files(old.side.called, new.side.called),
    )
}

fn report(arguments: &DiffArguments, fleets: Fleets<'_>, basis: Basis) -> Result<Exit, Exit> {
    let policy = arguments.policy();
    let (diff, alike) = match arguments.tells_each_vm() {
        true => (imagined::diff(fleets, &policy), BTreeMap::new()),
        false => imagined::diff_in_short(fleets, &policy),
    };
    let plan = &diff.plan;
    let definitions = arguments.diff.then(|| plan.definitions(&diff.inventory));
    let mut report = PlanReport::new(plan, definitions.as_ref()).standing_for(alike);
    report.basis = Some(basis);
    print(&mut report, arguments.format)?;
    Ok(Exit::first(plan_exits(plan, arguments.detailed_exitcode)))
}

/// The plan of the new fleet on the host that the snapshot was taken of.
fn report_on_host(arguments: &DiffArguments, old: Option<&Spec>, new: &Spec) -> Result<Exit, Exit> {
    let looked = arguments.snapshot.look()?;
    let policy = arguments.policy();
    let plan = |spec| observe_and_plan(looked.host.as_ref(), spec, &policy).map_err(failed);
    let (after, inventory) = plan(new)?;
    let before = old.map(plan).transpose()?;
    let definitions = arguments.diff.then(|| after.definitions(&inventory));
    let mut report = PlanReport::new(&after, definitions.as_ref());
    report.basis = looked.basis;
    report.without_change = before
        .as_ref()
        .map(|(before, _)| WithoutChange::new(before, &after));
    print(&mut report, arguments.format)?;
    Ok(Exit::first(plan_exits(&after, arguments.detailed_exitcode)))
}

impl DiffArguments {
    /// Values that stand for those of secrets, so that a change of which is used is seen. Of a host, none is compared.
    fn secrets(&self, names: impl Iterator<Item = String>) -> Secrets {
        if self.snapshot.is_given() {
            return fleet::secrets(names.collect(), Unset::Ignored);
        }
        let secrets = Secrets::stand_ins(names);
        terminal::keep_secret(&secrets);
        secrets
    }

    /// Whether each VM is shown by itself; text and Markdown show those together that change alike.
    fn tells_each_vm(&self) -> bool {
        self.diff || self.format == PlanFormat::Json
    }

    /// Saved plans are compared as they are.
    fn check_plans(&self) -> Result<(), Exit> {
        let options = [
            ("--var", !self.var.is_empty()),
            ("--vm", !self.vm.is_empty()),
            ("--from-snapshot", self.snapshot.is_given()),
            ("--diff", self.diff),
            ("--allow-removal", self.allow_removal.is_some()),
            ("--allow-replace", !self.allow_replace.is_empty()),
        ];
        let given = options.into_iter().filter(|(_, is_given)| *is_given);
        let given: Vec<&str> = given.map(|(option, _)| option).collect();
        if given.is_empty() {
            return Ok(());
        }
        let remedy = "leave it out, or give it to the armfleet plan --out that saves the plan";
        terminal::error(&NotForPlans(given.join(", ")), Some(remedy));
        Err(Exit::Invalid)
    }

    fn policy(&self) -> Policy {
        Policy {
            // It shows what leaves the file as what it is, a removal, to those who are to decide about it.
            removal: removal(self.allow_removal, Asked::Everything),
            vms: self.vm.clone(),
            allow_replace: self.allow_replace.clone(),
            ..Policy::default()
        }
    }
}

fn or_default(files: &[PathBuf]) -> Vec<PathBuf> {
    match files {
        [] => vec![fleet::default_file()],
        files => files.to_vec(),
    }
}

/// The folder that a path is in, or would be.
fn nearest_folder(path: &Path) -> Result<PathBuf, Exit> {
    let path = absolute(path)?;
    let folder = path.ancestors().find(|folder| folder.is_dir());
    Ok(folder.unwrap_or(Path::new("/")).to_path_buf())
}

/// A path without links, as far as it is there.
fn absolute(path: &Path) -> Result<PathBuf, Exit> {
    let whole = std::path::absolute(path).map_err(|error| {
        terminal::error(&error, None);
        Exit::Invalid
    })?;
    let found = whole.ancestors().find_map(|there| {
        let rest = whole.strip_prefix(there).ok()?;
        let there = there.canonicalize().ok()?;
        Some(match rest.as_os_str().is_empty() {
            true => there,
            false => there.join(rest),
        })
    });
    Ok(found.unwrap_or(whole))
}

/// One of the two fleets that are compared.
struct Side<'c> {
    called: String,
    files: Vec<Loaded>,
    commit: Option<&'c Commit>,
    /// The folder that its files are taken to be in, and the one that they are in.
    moved: Option<(String, String)>,
}

impl<'c> Side<'c> {
    fn here(named: &[PathBuf]) -> Result<Self, Exit> {
        let paths: Vec<&Path> = named.iter().map(PathBuf::as_path).collect();
        Ok(Self {
            called: listed(named),
            files: fleet::load_named(&paths)?,
            commit: None,
            moved: None,
        })
    }

    /// What a commit has of the same; nothing where they are all newer.
    fn at(commit: &'c Commit, rev: &str, named: &[PathBuf]) -> Result<Self, Exit> {
        let mut files = Vec::new();
        for path in named {
            let path = absolute(path)?;
            for path in fleet_files_at(commit, &path)? {
                files.extend(load_at(commit, &path)?);
            }
        }
        let is_there = match files.is_empty() {
            true => ", which has no such file",
            false => "",
        };
        Ok(Self {
            called: format!("{} at {rev}{is_there}", listed(named)),
            files,
            commit: Some(commit),
            moved: None,
        })
    }

    /// The same, as if its files were where another side's are: what is beside both is no change.
    fn in_place_of(mut self, other: &Self) -> Self {
        if let (Some(from), Some(to)) = (self.folder(), other.folder()) {
            self.moved = Some((to.to_owned(), from.to_owned()));
            for file in &mut self.files {
                to.clone_into(&mut file.folder);
            }
        }
        self
    }

    /// The folder that all files are in, if that is one.
    fn folder(&self) -> Option<&str> {
        let folder = &self.files.first()?.folder;
        let mut files = self.files.iter();
        files.all(|file| file.folder == *folder).then_some(folder)
    }

    /// Where something beside its files is.
    fn place_of(&self, path: &HostPath) -> PathBuf {
        let path = Path::new(path.as_str());
        let moved = self
            .moved
            .as_ref()
            .and_then(|(to, from)| Some(Path::new(from).join(path.strip_prefix(to).ok()?)));
        moved.unwrap_or_else(|| path.to_path_buf())
    }

    /// The bytes of a file beside its files, if they can be read.
    fn bytes_of(&self, path: &HostPath) -> Option<Vec<u8>> {
        let place = self.place_of(path);
        let Some(commit) = self.commit else {
            return input::read(&place, u64::MAX).ok();
        };
        match commit.at(&place, u64::MAX) {
            Ok(AtCommit::File(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn fleet_files(&self) -> Vec<FleetFile<'_>> {
        self.files.iter().map(Loaded::file).collect()
    }

    fn with_texts(self, vars: &BTreeMap<String, String>) -> Result<SideWithTexts<'c>, Exit> {
        let files = self.fleet_files();
        let texts = match self.commit {
            None => texts::read_by(&files, vars, |named| {
                let place = self.place_of(&named.path);
                let folder = place.to_str().and_then(|place| place.parse().ok());
                let moved = self
                    .moved
                    .as_ref()
                    .zip(folder)
                    .map(|((_, from), path)| NamedText {
                        folder: from.clone(),
                        path,
                    });
                texts::text(moved.as_ref().unwrap_or(named), &files)
            }),
            Some(commit) => texts::read_by(&files, vars, |named| text_at(commit, named)),
        };
        Ok(SideWithTexts { side: self, texts })
    }
}

/// The same with what its files name beside them.
struct SideWithTexts<'c> {
    side: Side<'c>,
    texts: Texts,
}

impl SideWithTexts<'_> {
    fn environment(&self) -> BTreeSet<String> {
        texts::environment_of(&self.side.fleet_files(), &self.texts)
    }

    /// The fleet; nothing where there is no file.
    fn spec(
        &self,
        vars: BTreeMap<String, String>,
        secrets: &Secrets,
        which: &'static str,
    ) -> Result<Option<Spec>, Exit> {
        let files = self.side.fleet_files();
        if files.is_empty() {
            return Ok(None);
        }
        let given = Given {
            vars,
            secrets: secrets.clone(),
            texts: Some(self.texts.clone()),
        };
        read_files(&files, &given).map(Some).map_err(|problems| {
            let exit = fleet::invalid(&problems);
            let called = self.side.called.clone();
            let remedy = match self.side.commit {
                Some(_) => "compare with a commit at which it is valid: armfleet diff --git REV",
                None => "correct it, and compare again",
            };
            terminal::error(&NotValid { which, called }, Some(remedy));
            exit
        })
    }
}

/// Which of the variables that the user gives each side gets: those that it declares. What neither declares is a mistake,
/// which the new side reports.
fn vars(given: &[(String, String)], [old, new]: [&Side<'_>; 2]) -> [BTreeMap<String, String>; 2] {
    if given.is_empty() {
        return [BTreeMap::new(), BTreeMap::new()];
    }
    let declared = |side: &Side<'_>| vars_declared(&side.fleet_files());
    let (old, new) = (declared(old), declared(new));
    let only = |is_one: &dyn Fn(&String) -> bool| {
        let vars = given.iter().filter(|(name, _)| is_one(name)).cloned();
        vars.collect()
    };
    [
        only(&|name| old.contains(name)),
        only(&|name| new.contains(name) || !old.contains(name)),
    ]
}

/// The files beside the fleet files that a VM boots or begins with, and whose bytes differ. What only one side has was not
/// put under version control, most likely.
fn changed([old, new]: [&Side<'_>; 2], old_spec: Option<&Spec>, spec: &Spec) -> BTreeSet<HostPath> {
    let sources = |spec: &Spec| -> BTreeSet<HostPath> {
        let sources = spec.vms.values().flat_map(imagined::sources);
        sources.cloned().collect()
    };
    let (Some(old_spec), Some(folder)) = (old_spec, new.folder()) else {
        return BTreeSet::new();
    };
    let both: Vec<HostPath> = sources(old_spec)
        .intersection(&sources(spec))
        .cloned()
        .collect();
    let is_beside = |path: &HostPath| Path::new(path.as_str()).starts_with(folder);
    let has_changed = |path: &HostPath| match (old.bytes_of(path), new.bytes_of(path)) {
        (Some(was), Some(is)) => was != is,
        _ => false,
    };
    let beside = both.into_iter().filter(is_beside);
    beside.filter(has_changed).collect()
}

fn listed(named: &[PathBuf]) -> String {
    let named = named.iter().map(|path| path.display().to_string());
    named.collect::<Vec<_>>().join(", ")
}

/// The fleet files of a path at a commit: those in it, if it was a folder.
fn fleet_files_at(commit: &Commit, path: &Path) -> Result<Vec<PathBuf>, Exit> {
    if !matches!(commit.at(path, fleet::READ_LIMIT)?, AtCommit::Folder) {
        return Ok(vec![path.to_path_buf()]);
    }
    let names = commit.names_in(path)?.into_iter();
    let files = names.map(|name| path.join(name));
    let mut files: Vec<_> = files.filter(|path| fleet::is_fleet_file(path)).collect();
    files.sort();
    Ok(files)
}

fn load_at(commit: &Commit, path: &Path) -> Result<Option<Loaded>, Exit> {
    let bytes = match commit.at(path, fleet::READ_LIMIT)? {
        AtCommit::File(bytes) => bytes,
        AtCommit::Absent | AtCommit::Folder => return Ok(None),
        AtCommit::TooLarge => {
            terminal::error(&TooLarge(commit.name_of(path)), None);
            return Err(Exit::Invalid);
        }
        AtCommit::Outside => {
            terminal::error(
                &LinkOutside(commit.name_of(path)),
                Some("compare two files: armfleet diff OLD NEW"),
            );
            return Err(Exit::Invalid);
        }
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    Ok(Some(Loaded {
        name: commit.name_of(path),
        folder: folder.to_string_lossy().into_owned(),
        bytes,
    }))
}

/// A file beside fleet files, as a commit has it. Below the folder of the fleet file, it is in the same repository.
fn text_at(commit: &Commit, named: &NamedText) -> Text {
    let path = Path::new(named.path.as_str());
    let content = match commit.at(path, TEXT_LIMIT as u64) {
        Ok(AtCommit::File(bytes)) => Ok(bytes),
        Ok(AtCommit::Absent) => Err(TextError::Absent),
        Ok(AtCommit::Folder) => Err(TextError::NotPlain),
        Ok(AtCommit::TooLarge) => Err(TextError::TooLarge),
        Ok(AtCommit::Outside) => Err(TextError::Outside),
        Err(_) => Err(TextError::Unreadable("git could not read it".to_owned())),
    };
    Text {
        name: commit.name_of(path),
        content,
        identity: None,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the {which} fleet file, {called}, is not valid; nothing was compared")]
struct NotValid {
    which: &'static str,
    called: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is for fleet files; saved plans are compared as they are")]
struct NotForPlans(String);

#[derive(Debug, thiserror::Error)]
#[error("diff compares two fleet files; {0} given")]
struct NotTwo(usize);

#[derive(Debug, thiserror::Error)]
#[error("{0} is too large for a fleet file")]
struct TooLarge(String);

#[derive(Debug, thiserror::Error)]
#[error("{0} is a link that leads out of the repository")]
struct LinkOutside(String);
