//! Plans, outcomes and states as people read them. Nothing here prints; [`Paint`] says whether there is colour.

mod applied;
mod basis;
mod compared;
mod console;
mod diagnostics;
mod diff;
mod doctor;
mod explain;
mod fold;
mod generations;
mod graph;
mod history;
mod json;
mod lines;
mod markdown;
mod markdown_page;
mod markdown_steps;
mod markdown_text;
mod metrics;
mod model;
mod outcome;
mod power;
mod problems;
mod show;
mod stale;
mod status;
mod style;
mod text;

pub use applied::{AppliedStep, ApplyReport, Pending, StepResult};
pub use basis::Basis;
pub use compared::{
    ComparisonReport, PlanName, StepEffect, Waiting, render_comparison,
    render_comparison_in_markdown,
};
pub use console::{console_line, last_line};
pub use diagnostics::render_problems;
pub use diff::Diff;
pub use doctor::{DoctorReport, FindingReport, FindingState, render_doctor};
pub use explain::{render_topic_list, render_topics};
pub use generations::render_generations;
pub use graph::{render_dot, render_mermaid};
pub use history::{
    ApplyEnd, DamagedLine, HistoryReport, JournalLine, PastAct, PastApply, PastStep, WayBack,
    render_applied, render_history,
};
pub use json::{render_json, schemas};
pub use markdown::render_markdown;
pub use markdown_page::MARKDOWN_LIMIT;
pub use metrics::render_metrics;
pub use model::{Change, Effect, NamedStep, OnHost, PlanReport, StepReport, Summary};
pub use outcome::{render_begin, render_outcome, render_step};
pub use power::{PowerReport, render_power, render_remarks};
pub use problems::ProblemsReport;
pub use show::{VmReport, render_vm};
pub use stale::render_staleness;
pub use status::{
    AddressStatus, StatusReport, VmStatus, WatcherState, WatcherStatus, render_status,
};
pub use style::{Paint, Tone};
pub use text::{render_diffs, render_plan};
