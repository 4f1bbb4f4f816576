//! `armfleet plan`

use super::arguments::{Asked, FileArguments, PlanFormat, PlanOptions, commit};
use super::exit::Exit;
use super::fleet::Unset;
use super::from_snapshot::SnapshotOption;
use super::{fleet, output, saved, terminal};
use crate::engine::observe_and_plan;
use crate::host::HostError;
use crate::plan::{Plan, SavedPlan, touched_paths};
use crate::report::{PlanReport, render_dot, render_markdown, render_mermaid, render_plan};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    fleet: FileArguments,
    #[command(flatten)]
    options: PlanOptions,
    /// How to print the plan
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
    #[command(flatten)]
    snapshot: SnapshotOption,
    /// Save the plan, for apply --plan
    #[arg(long, value_name = "FILE", conflicts_with = "from_snapshot")]
    out: Option<PathBuf>,
    /// Say that the fleet files are of this commit, in the plan and where it is saved: apply --plan can then ask for it
    #[arg(long, value_name = "COMMIT", value_parser = commit)]
    commit: Option<String>,
    /// Also draw the order of the steps: FILE.dot for Graphviz, FILE.mmd for Mermaid
    #[arg(long, value_name = "FILE.dot|FILE.mmd")]
    graph: Option<PathBuf>,
    /// Plan without the secrets that are not set: their values are not compared, and the plan cannot be saved
    #[arg(long)]
    no_secrets: bool,
}

pub(super) fn run(arguments: &PlanArguments) -> Result<Exit, Exit> {
    let FileArguments { files, options } = &arguments.fleet;
    let unset = Unset::if_no_secrets(arguments.no_secrets);
    let unset = arguments.snapshot.unset(unset);
    let (spec, source) = fleet::read_with_source(files, options, unset)?;
    let picture = arguments.graph.as_deref().map(Picture::of).transpose()?;
    let options = &arguments.options;
    options.check_hosts()?;
    let looked = arguments.snapshot.look()?;
    // A plan is what apply does that asks nothing.
    let policy = options.policy(Asked::Nothing);
    let (plan, inventory) =
        observe_and_plan(looked.host.as_ref(), &spec, &policy).map_err(failed)?;
    let definitions = options.diff.then(|| plan.definitions(&inventory));
    let mut report = PlanReport::new(&plan, definitions.as_ref());
    report.basis = looked.basis;
    report.commit = arguments.commit.as_deref();
    if arguments.out.is_some() {
        report.paths = Some(touched_paths(&plan, &spec));
    }
    print(&mut report, arguments.format)?;
    if let Some(picture) = picture {
        picture.draw(&report)?;
    }
    if let Some(path) = &arguments.out {
        let saved = SavedPlan::new(source, &policy, &plan, &inventory);
        let saved = saved.map(|saved| saved.of_commit(arguments.commit.clone()));
        saved::write(path, saved)?;
    }
    Ok(Exit::first(plan_exits(&plan, options.detailed_exitcode)))
}

/// Prints a plan.
pub(super) fn print(report: &mut PlanReport<'_>, format: PlanFormat) -> Result<(), Exit> {
    report.lists_records = terminal::is_verbose();
    match format {
        PlanFormat::Json => terminal::json(report)?,
        PlanFormat::Markdown => terminal::result(&render_markdown(report)),
        PlanFormat::Text => {
            let paint = terminal::paint();
            terminal::prose(&render_plan(report, paint));
        }
    }
    Ok(())
}

/// A picture of the steps' order to be drawn into a file.
struct Picture<'a> {
    path: &'a Path,
    render: fn(&PlanReport<'_>) -> String,
}

impl<'a> Picture<'a> {
    /// What to draw follows from the file's suffix.
    fn of(path: &'a Path) -> Result<Self, Exit> {
        let render = match path.extension().and_then(|suffix| suffix.to_str()) {
            Some("mmd") => render_mermaid,
            Some("dot" | "gv") => render_dot,
            _ => {
                let error = UnknownPicture(path.display().to_string());
                terminal::error(&error, Some("call it FILE.dot or FILE.mmd"));
                return Err(Exit::Invalid);
            }
        };
        Ok(Self { path, render })
    }

    fn draw(&self, report: &PlanReport<'_>) -> Result<(), Exit> {
        let text = (self.render)(report);
        output::write(self.path, terminal::redacted(&text).as_bytes())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}: a picture is drawn as .dot or .mmd")]
struct UnknownPicture(String);

/// What a plan by itself says about the exit code.
pub(super) fn plan_exits(plan: &Plan, detailed_exitcode: bool) -> [(Exit, bool); 3] {
    [
        (Exit::Failed, !plan.is_complete()),
        (Exit::Refused, !plan.refusals.is_empty()),
        (Exit::Changes, detailed_exitcode && !plan.is_empty()),
    ]
}

/// Prints why a host failed.
pub(super) fn failed(error: HostError) -> Exit {
    terminal::error(&error, error.remedy());
    if error.is_refusal() {
        Exit::Refused
    } else {
        Exit::Failed
    }
}
