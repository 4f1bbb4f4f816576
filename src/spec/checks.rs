//! Checks of a whole file.

use super::draft::Draft;
use super::problem::Found;

/// Runs every check.
pub(super) fn check(_draft: &Draft, _found: &mut Found) {}
