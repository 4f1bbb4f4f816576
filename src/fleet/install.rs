//! What installs a VM: its keys.

use crate::fleetfile::{Beside, Field, Fields, Key, Readable, Spanned, ValueType, map};
use crate::problem::{Checked, ProblemKind};
use crate::values::{Cmdline, HostPath};
use std::collections::BTreeMap;

map! {
    /// What boots until the VM has a kernel of its own, on an empty disk.
    pub struct Install, PartialInstall, "install": "`install`", "install.", "it belongs under `install`" {
        /// The installer's kernel. Many VMs may have the same.
        kernel: HostPath as Beside { required, effect: Described("when the VM is installed"), example: "netboot/vmlinuz" },
        /// The installer's initrd. What boots is a copy, to which `files` are added.
        initrd: HostPath as Beside { required, effect: Described("when the VM is installed"), example: "netboot/initrd.gz" },
        /// The kernel's command line during the installation.
        cmdline: Cmdline {
            required, effect: Described("when the VM is installed"),
            example: "console=ttyAMA0 auto=true priority=critical preseed/file=/preseed.cfg", also_called: ["append", "args"],
        },
        /// Files that the installer gets in its initrd: where they are there, and which files they are. They keep their
        /// permission bits.
        files: BTreeMap<HostPath, HostPath> as Files {
            absent: "the installer's initrd stays as it is", effect: Described("when the VM is installed"),
            example: "{ /preseed.cfg: preseed.cfg }",
        },
    }
}

/// The files that the installer gets: paths in it to paths beside the fleet file.
pub(crate) struct Files;

/// A file for the installer, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialFile {
    target: Checked<HostPath>,
    pub(crate) source: Checked<Spanned<HostPath>>,
}

impl Readable for Files {
    type Value = BTreeMap<HostPath, HostPath>;
    type Partial = Vec<PartialFile>;
    const TYPE: ValueType = ValueType::Files;

    fn read(field: &Field<'_>) -> Checked<Vec<PartialFile>> {
        const WANTED: &str =
            "a map of paths in the installer to files, as in /preseed.cfg: preseed.cfg";
        let files = field.entries(WANTED)?.map(|(written, key, node)| {
            let at = |name: String, node| Field {
                name,
                key: key.range.clone(),
                node,
                ..field.clone()
            };
            let target = at(field.name.clone(), key);
            PartialFile {
                target: if written.starts_with('/') {
                    target.accept(written.parse())
                } else {
                    let message =
                        format!("`{written}` is not a path in the installer: it begins with `/`");
                    Err(target.report(target.problem(ProblemKind::WrongValue, message)))
                },
                source: Beside::read(&at(format!("{}.{written}", field.name), node)),
            }
        });
        Ok(files.collect())
    }

    fn absent(_: &Fields<'_>, _: &Key) -> Checked<Vec<PartialFile>> {
        Ok(Vec::new())
    }

    fn finish(partial: Vec<PartialFile>) -> Checked<Self::Value> {
        let files = partial.into_iter();
        let files = files.map(|file| Ok((file.target?, file.source?.value)));
        files.collect()
    }
}
