//! What can be wrong with a fleet file or a host, each kind with its explanation.

mod diagnostics;
mod kind;

pub(crate) use diagnostics::{Checked, Diagnostics, ErrorReported, Layer};
pub use diagnostics::{Label, Problem, Problems, Source};
pub use kind::{HostCheck, ProblemKind, ProblemTopic};
