//! Steps, performed by primitive calls. Nothing is decided here: a step says everything, and what it rests on is checked
//! once more before it is done.

use super::executor::Executor;
use super::failure::{cannot, stale};
use super::kept::PRIVATE;
use super::observe::{ask, observe};
use super::primitives::{CallErrorKind, ImageSize, Owner, Primitives};
use super::recorded::recorded;
use super::waiting::Waiting;
use super::{Begun, Host, HostError, Inspect, Traces, redactor};
use crate::boot::SHIM;
use crate::domain::{Edit, applied_source, apply_edits, with_secrets};
use crate::files::parent_and_name;
use crate::fleet::DiskFormat;
use crate::inventory::{Fact, Look, Query, RawHealth, RawInventory, Redaction, RunState, digest};
use crate::mark::{AppliedBy, Event, Moment, Record, render_record};
use crate::paths;
use crate::plan::{Act, Base, BaseFile, DiskContent, Step};
use crate::qcow2::{Backing, new_qcow2};
use crate::trust::End;
use crate::values::{HostPath, Size, Uuid, VmName};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

impl<P: Primitives> Inspect for Executor<P> {
    fn observe(&self, query: &Query) -> Result<RawInventory, HostError> {
        Ok(observe(&self.calls, query))
    }

    fn ask(&self, programs: &BTreeSet<String>) -> RawHealth {
        ask(&self.calls, programs)
    }

    fn redact(&self, redaction: &Arc<Redaction>) {
        let known = Some(Arc::clone(redaction));
        *self
            .redaction
            .write()
            .unwrap_or_else(PoisonError::into_inner) = known;
        redactor::tell(redaction);
    }
}

impl<P: Primitives> Host for Executor<P> {
    fn begin(&self, step: &Step) -> Result<Begun, HostError> {
        if let (Some(vm), Some(uuid), Some(planned)) = (&step.vm, step.act.domain(), &step.expects)
        {
            self.unchanged(vm, uuid, planned)?;
        }
        self.guarded(step)?;
        match (&step.act, &step.vm) {
            (Act::AwaitOff { uuid, timeout }, Some(vm)) => Ok(self.await_off(vm, uuid, *timeout)),
            (Act::Stop { uuid, timeout }, Some(vm)) => Ok(self.stop(vm, uuid, *timeout)),
            (Act::PowerOff { uuid }, Some(vm)) => self.power_off(vm, uuid),
            (Act::Start { uuid }, Some(vm)) => self.start(vm, uuid),
            (Act::Define { uuid, base, edits }, Some(vm)) => {
                self.define(vm, uuid, base, edits).map(Begun::Done)
            }
            (
                Act::Undefine {
                    uuid,
                    digest,
                    keep_nvram,
                },
                Some(vm),
            ) => self
                .undefine(vm, uuid, digest, *keep_nvram)
                .map(Begun::Done),
            (Act::Forget, Some(vm)) => self.forget(vm).map(Begun::Done),
            (Act::RemoveCloudInit, Some(vm)) => self.remove_cloud_init(vm).map(Begun::Done),
            _ => self.act(step).map(|()| Begun::Done(Traces::default())),
        }
    }

    fn look_again(&self, waiting: &mut Waiting) -> Option<Result<(), HostError>> {
        self.look_at_waiting(waiting).transpose()
    }

    fn moment(&self) -> Moment {
        self.calls.moment()
    }

    fn pause(&self, time: Duration) {
        self.calls.pause(time);
    }

    fn boots_at_once(&self) -> usize {
        self.boots_at_once
            .unwrap_or_else(|| self.calls.boots_at_once())
    }

    fn note(&self, event: Event) -> Result<(), HostError> {
        self.write_journal(event)
    }
}

impl<P: Primitives> Executor<P> {
    fn act(&self, step: &Step) -> Result<(), HostError> {
        match (&step.act, &step.vm) {
            (Act::InstallHook { sha256, .. }, _) => self.install_hook(sha256),
            (Act::ReloadDaemon { pid_file }, _) => self.reload(pid_file),
            (Act::CreateShare { path, mode, owner }, _) => {
                let place = self.place_of(step, path, End::Share)?;
                self.create_share(path, &place, *mode, *owner)
            }
            (Act::OwnShare { path, mode, owner }, _) => {
                let owner = Owner {
                    uid: owner.0,
                    gid: owner.1,
                };
                let place = self.place_of(step, path, End::Share)?;
                self.calls
                    .set_folder_owner(&place, *mode, owner)
                    .map_err(cannot(format!("give {path} to QEMU")))
            }
            (Act::MendFolder { path, mode }, _) => self.mend_folder(path, *mode),
            (
                Act::CreateDisk {
                    path,
                    size,
                    content: DiskContent::CopyOf(base),
                    format,
                },
                _,
            ) => {
                let place = self.place_of(step, path, End::Image)?;
                self.copy_disk(step, base, (path, &place), *format, *size)
            }
            (
                Act::CreateDisk {
                    path,
                    size,
                    content,
                    format,
                },
                _,
            ) => {
                let place = self.place_of(step, path, End::Image)?;
                let backing = match content {
                    DiskContent::Over { base, format } => Some(Backing {
                        path: base.as_str(),
                        format: format.as_str(),
                    }),
                    _ => None,
                };
                let (head, bytes) = match format {
                    DiskFormat::Raw => (Vec::new(), size.bytes()),
                    DiskFormat::Qcow2 => new_qcow2(size.bytes(), backing),
                };
                let created = self.calls.create_image(&place, &head, bytes);
                created.map_err(cannot(format!("create {path}")))
            }
            (
                Act::GrowDisk {
                    path,
                    format,
                    from,
                    to,
                    running,
                },
                _,
            ) => {
                let place = self.place_of(step, path, End::Image)?;
                let (calls, path_of_libvirt) = (&self.calls, path.as_str());
                let (from, to) = (from.bytes(), to.bytes());
                self.has_size(path, &place, *format, from)?;
                let grown = match (running, format) {
                    (Some(uuid), _) => calls.block_resize(uuid.as_str(), path_of_libvirt, from, to),
                    (None, DiskFormat::Raw) => calls.grow_image(&place, from, to),
                    (None, DiskFormat::Qcow2) => calls.grow_qcow2(&place, from, to),
                };
                grown.map_err(cannot(format!("grow {path}")))
            }
            (_, Some(vm)) => self.act_on_vm(step, vm),
            (_, None) => Err(HostError::plain("the step names no VM")),
        }
    }

    fn act_on_vm(&self, step: &Step, vm: &VmName) -> Result<(), HostError> {
        match &step.act {
            Act::StageDtb { source, .. } => self.stage_dtb(vm, source),
            Act::StageSeed { kernel, initrd, .. } => self.stage_seed(vm, kernel, initrd),
            Act::StageInstaller(installer) => self.stage_installer(vm, installer),
            Act::MakeCloudInit(disk) => self.make_cloud_init(vm, disk),
            Act::EraseDisk {
                path,
                size,
                mark,
                uuid,
            } => {
                let place = self.place_of(step, path, End::Image)?;
                self.erase_disk(vm, uuid.as_ref(), (path, &place, *size), mark)
            }
            Act::WriteRecord { record, .. } => self.write_record(step, vm, record),
            Act::SetAutostart { uuid, on } => {
                let _lock = self.lock_vm(vm)?;
                let doing = cannot(format!("set autostart of {vm}"));
                self.calls.set_autostart(uuid.as_str(), *on).map_err(doing)
            }
            Act::AwaitOff { .. }
            | Act::Stop { .. }
            | Act::PowerOff { .. }
            | Act::Start { .. }
            | Act::Define { .. }
            | Act::Undefine { .. }
            | Act::Forget
            | Act::RemoveCloudInit
            | Act::InstallHook { .. }
            | Act::ReloadDaemon { .. }
            | Act::CreateShare { .. }
            | Act::OwnShare { .. }
            | Act::MendFolder { .. }
            | Act::CreateDisk { .. }
            | Act::GrowDisk { .. } => Err(HostError::plain("the step is not one of a VM's domain")),
        }
    }

    fn copy_disk(
        &self,
        step: &Step,
        base: &BaseFile,
        (path, place): (&HostPath, &str),
        format: DiskFormat,
        size: Size,
    ) -> Result<(), HostError> {
        let from = self.place_of(step, &base.path, End::Image)?;
        let to = size.bytes();
        let copied = self
            .calls
            .copy_image(base, &from, place, ImageSize { format, to });
        copied.map_err(|error| match error.kind {
            CallErrorKind::Changed => stale(&base.path),
            _ => cannot(format!("copy {} to {path}", base.path))(error),
        })
    }

    /// Fails if an image has not the size that the plan saw: another one could be shrunk by growing it.
    fn has_size(
        &self,
        path: &HostPath,
        place: &str,
        format: DiskFormat,
        planned: u64,
    ) -> Result<(), HostError> {
        let file = self.calls.look(place, Look::Image);
        let file = file.present();
        let size = file.and_then(|file| file.virtual_size(format));
        match size {
            Some(size) if size == planned => Ok(()),
            _ => Err(stale(format_args!("the size of {path}"))),
        }
    }

    fn install_hook(&self, sha256: &str) -> Result<(), HostError> {
        if digest(SHIM) != sha256 {
            return Err(HostError::plain("the plan's hook is another version's")
                .with_remedy("plan and apply with one version"));
        }
        self.ensure_folder(paths::HOOKS, 0o755)?;
        self.ensure_folder(paths::HOOK_FOLDER, 0o755)?;
        let doing = cannot(format!("write {}", paths::SHIM));
        self.calls
            .write_file(paths::SHIM, paths::HOOKS, SHIM.as_bytes(), 0o755)
            .map_err(doing)
    }

    fn reload(&self, pid_file: &str) -> Result<(), HostError> {
        self.calls.reload_daemon(pid_file).map_err(|error| {
            HostError::new("cannot make libvirtd look for hooks", error)
                .with_remedy("systemctl reload libvirtd")
        })?;
        self.keep(paths::RELOADED, PRIVATE, Ok(String::new()))
    }

    fn create_share(
        &self,
        path: &HostPath,
        place: &str,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<(), HostError> {
        // Asked of the parent, so that a file system that cannot serve is left as it was.
        let (parent, _) = parent_and_name(place);
        self.calls
            .probe_xattr(if parent.is_empty() { "/" } else { parent })
            .map_err(|error| match error.kind {
                CallErrorKind::Unsupported => HostError::new(
                    format!(
                        "{path} cannot be a share: its file system keeps no extended attributes"
                    ),
                    error,
                )
                .with_remedy("use a folder on ext4, xfs or btrfs"),
                _ => cannot(format!("make {path}"))(error),
            })?;
        let owner = owner.map(|(uid, gid)| Owner { uid, gid });
        self.calls
            .make_folder(place, mode, owner)
            .map_err(cannot(format!("make {path}")))
    }

    fn define(
        &self,
        vm: &VmName,
        uuid: &Uuid,
        base: &Base,
        edits: &[Edit],
    ) -> Result<Traces, HostError> {
        let _lock = self.lock_vm(vm)?;
        let doing = format!("define domain {vm}");
        let (text, mut traces) = match base {
            Base::Skeleton(text) => match self.calls.domain(uuid.as_str()) {
                Err(error) if error.kind == CallErrorKind::Missing => {
                    (text.clone(), Traces::default())
                }
                Err(error) => return Err(cannot(doing.clone())(error)),
                Ok(_) => return Err(stale(format_args!("domain {vm}"))),
            },
            Base::Stored(planned) => {
                let shown = self.unchanged(vm, uuid, planned)?;
                let whole = self
                    .calls
                    .dump_secure(uuid.as_str())
                    .map_err(cannot(doing.clone()))?;
                let traces = self.keep_before(vm, &shown, &whole);
                (whole, traces)
            }
        };
        let redaction = self.redaction().unwrap_or_default();
        let edits = with_secrets(edits, redaction.secrets());
        let text = apply_edits(&text, &edits)
            .map_err(|error| HostError::new(format!("cannot {doing}"), error))?;
        self.calls.define(&text).map_err(cannot(doing))?;
        self.keep_after(vm, uuid, &mut traces);
        Ok(traces)
    }

    /// A domain's definition without its secrets; fails if it is no longer the one that the plan was made on.
    fn unchanged(&self, vm: &VmName, uuid: &Uuid, planned: &str) -> Result<String, HostError> {
        let seen = self
            .calls
            .domain(uuid.as_str())
            .map_err(cannot(format!("read domain {vm}")))?;
        match seen.inactive {
            Fact::Present(text) => {
                let shown = self.shown(vm, uuid.as_str(), &text);
                (digest(&shown) == planned).then_some(shown)
            }
            _ => None,
        }
        .ok_or_else(|| stale(format_args!("domain {vm}")))
    }

    fn write_record(&self, step: &Step, vm: &VmName, record: &Record) -> Result<(), HostError> {
        let _lock = self.lock_vm(vm)?;
        self.ensure_vm_folder(vm)?;
        let applied_by = Some(AppliedBy {
            user: self.calls.user(),
            at: self.calls.now(),
        });
        let path = paths::record(vm);
        let mut record = record.clone();
        let present = recorded(&self.calls, vm).ok();
        // What the user chose meanwhile stands: no plan decides that.
        if let Some(present) = &present {
            record.boot.wanted.clone_from(&present.boot.wanted);
        }
        self.note_cmdline(&mut record, present.as_ref())?;
        self.note_places(step, &mut record);
        let text = render_record(&Record {
            applied_by,
            ..record
        });
        self.keep(&path, PRIVATE, text)
    }

    /// Notes what is at the path of each device for which the plan could not: its steps made or changed it.
    fn note_places(&self, step: &Step, record: &mut Record) {
        let file_systems = self.calls.file_systems().unwrap_or_default();
        for (id, device) in &mut record.applied.devices {
            let path = applied_source(id, device);
            let Some(path) = path.filter(|_| device.place.is_none()) else {
                continue;
            };
            let Ok(path) = path.parse::<HostPath>() else {
                continue;
            };
            let ends = step.ways.as_ref().map(|ways| &ways.paths);
            let end = ends.and_then(|ends| ends.get(path.as_str()));
            if let Ok(place) = self.place_of(step, &path, *end.unwrap_or(&End::Image)) {
                let seen = self.calls.look(&place, Look::of_disk(&place));
                device.place = seen.present().map(|file| file.place(&file_systems));
            }
        }
    }

    fn undefine(
        &self,
        vm: &VmName,
        uuid: &Uuid,
        planned: &str,
        keep_nvram: bool,
    ) -> Result<Traces, HostError> {
        let _lock = self.lock_vm(vm)?;
        let shown = self.unchanged(vm, uuid, planned)?;
        // Undefining a running domain would make it vanish when it stops.
        if self.state(vm, uuid)? != RunState::Off {
            return Err(stale(format_args!("domain {vm}")));
        }
        let doing = || cannot(format!("undefine domain {vm}"));
        let whole = self.calls.dump_secure(uuid.as_str()).map_err(doing())?;
        let traces = self.keep_before(vm, &shown, &whole);
        self.calls
            .undefine(uuid.as_str(), keep_nvram)
            .map_err(doing())?;
        Ok(traces)
    }
}
