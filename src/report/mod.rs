//! Plans, outcomes and states as people read them. Nothing here prints; [`Paint`] says whether there is colour.

mod diagnostics;
mod diff;
mod explain;
mod outcome;
mod problems;
mod show;
mod status;
mod style;
mod text;

pub use diagnostics::render_problems;
pub use diff::render_diff;
pub use explain::{render_topic_list, render_topics};
pub use outcome::{render_begin, render_outcome, render_step};
pub use problems::ProblemsReport;
pub use show::render_vm;
pub use status::render_status;
pub use style::{Paint, Tone};
pub use text::render_plan;
