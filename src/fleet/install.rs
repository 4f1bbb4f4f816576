//! A VM's `install`: what boots until it has a kernel of its own.

use super::fields::{Field, Fields, fields, first_time, key_text};
use super::keys;
use super::partial::{PartialFile, PartialInstall};
use super::resolve::{Scope, required};
use super::scalars::{accept, wrong_type};
use crate::problem::{Checked, Diagnostics, ProblemKind};
use crate::yaml::Value;
use crate::yaml::at;
use std::collections::BTreeMap;

/// Reads `install`, if it is given.
pub(crate) fn install(
    vm: &Fields<'_>,
    scope: Scope<'_>,
    found: &mut Diagnostics,
) -> Checked<Option<PartialInstall>> {
    let Some(field) = vm.get("install") else {
        return Ok(None);
    };
    let fields = &fields(field.node, &field.key, &keys::INSTALL, found)?;
    let files = match fields.get("files") {
        Some(field) => files(field, scope, found),
        None => Ok(Vec::new()),
    };
    Ok(Some(PartialInstall {
        key: field.key.clone(),
        kernel: required(fields, "kernel", found, |field, found| {
            scope.path_beside(field, found)
        }),
        initrd: required(fields, "initrd", found, |field, found| {
            scope.path_beside(field, found)
        }),
        cmdline: required(fields, "cmdline", found, |field, found| {
            scope.cmdline(field, found)
        }),
        files,
    }))
}

/// The files that the installer gets: paths in it to paths beside the fleet file.
fn files(
    field: &Field<'_>,
    scope: Scope<'_>,
    found: &mut Diagnostics,
) -> Checked<Vec<PartialFile>> {
    let Value::Map(entries) = &field.node.value else {
        return Err(wrong_type(
            field,
            "a map of paths in the installer to files, as in /preseed.cfg: preseed.cfg",
            found,
        ));
    };
    let mut seen = BTreeMap::new();
    entries
        .iter()
        .map(|(key, node)| {
            found.patience()?;
            let written = key_text(key, found)?;
            first_time(&mut seen, written, key, found)?;
            let at_key = Field {
                name: field.name.clone(),
                key: key.range.clone(),
                node: key,
            };
            let target = if written.starts_with('/') {
                accept(&at_key, written.parse(), found)
            } else {
                let message =
                    format!("`{written}` is not a path in the installer: it begins with `/`");
                Err(found.report(at(ProblemKind::WrongValue, key, message)))
            };
            let source = Field {
                name: format!("{}.{written}", field.name),
                key: key.range.clone(),
                node,
            };
            Ok(PartialFile {
                target,
                source: scope.path_beside(&source, found),
            })
        })
        .collect()
}
