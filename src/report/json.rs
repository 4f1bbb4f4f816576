//! Reports as JSON, and the schemas of their formats.

use super::{
    ApplyReport, ComparisonReport, DoctorReport, HistoryReport, PlanReport, PowerReport,
    ProblemsReport, StatusReport,
};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;

/// A report as JSON, ending in a newline.
///
/// # Errors
/// None in practice: every part of a report can be written as JSON.
pub fn render_json(report: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// The schemas of all formats, by the names of their files in `schema/`.
#[must_use]
pub fn schemas() -> [(&'static str, Schema); 8] {
    [
        ("apply.schema.json", schema_of::<ApplyReport>()),
        ("power.schema.json", schema_of::<PowerReport>()),
        ("comparison.schema.json", schema_of::<ComparisonReport>()),
        ("doctor.schema.json", schema_of::<DoctorReport>()),
        ("history.schema.json", schema_of::<HistoryReport>()),
        ("plan.schema.json", schema_of::<PlanReport>()),
        ("problems.schema.json", schema_of::<ProblemsReport>()),
        ("status.schema.json", schema_of::<StatusReport>()),
    ]
}

/// Draft 7, which editors and older validators know, too.
fn schema_of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft07().for_serialize();
    settings.into_generator().into_root_schema_for::<T>()
}
