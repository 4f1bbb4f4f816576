//! Which paths a VM uses, and which no VM can be given.

use super::vm::PartialVm;
use crate::fleetfile::Spanned;
use crate::paths;
use crate::problem::{Problem, ProblemKind};
use crate::values::{HostPath, VmName};

/// Below these virt-aa-helper gives a VM nothing (`valid_path` in libvirt's `src/security/virt-aa-helper.c`), so that it
/// would not start where AppArmor is on.
const SYSTEM_PREFIXES: [&str; 16] = [
    "/bin/",
    "/etc/",
    "/lib",
    "/lost+found/",
    "/proc/",
    "/sbin/",
    "/selinux/",
    "/sys/",
    "/usr/bin/",
    "/usr/lib",
    "/usr/sbin/",
    "/usr/share/",
    "/usr/local/bin/",
    "/usr/local/etc/",
    "/usr/local/lib",
    "/usr/local/sbin/",
];
/// Below these virt-aa-helper gives a VM nothing that it could write.
const BOOT_PREFIXES: [&str; 3] = ["/boot/", "/vmlinuz", "/initrd"];
/// Folders in which root's programs keep what they run, or trust what they find: a log there, whose bytes are the guest's,
/// could become a command of root's.
const ROOT_FOLDERS: [&str; 10] = [
    "/dev",
    "/root",
    "/run",
    "/usr",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/systemd",
    "/var/run",
    "/var/spool/anacron",
    "/var/spool/cron",
];
/// A part of one of them that is the administrator's.
const LOCAL_FOLDER: &str = "/usr/local";
/// Folders that others use, too.
const COMMON_FOLDERS: [&str; 11] = [
    "/usr/local",
    "/var/backups",
    "/var/cache",
    "/var/lib",
    "/var/lib/libvirt",
    "/var/lib/libvirt/images",
    "/var/log",
    "/var/mail",
    "/var/opt",
    "/var/spool",
    "/var/tmp",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Share,
    Further {
        readonly: bool,
    },
    Disk,
    Log,
    Seed,
    DeviceTree,
    Installer,
    /// What disks are copied from.
    Base,
    /// What QEMU reads below a disk.
    Backing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'d> {
    pub(super) vm: Option<&'d Spanned<VmName>>,
    pub(super) purpose: Purpose,
    pub(super) path: &'d Spanned<HostPath>,
}

impl Claim<'_> {
    fn purpose(&self) -> &'static str {
        match self.purpose {
            Purpose::Share => "boot share",
            Purpose::Further { .. } => "share",
            Purpose::Disk => "disk",
            Purpose::Log => "console log",
            Purpose::Seed => "seed",
            Purpose::DeviceTree => "device tree",
            Purpose::Installer => "installer",
            Purpose::Base | Purpose::Backing => "base image",
        }
    }

    /// As a part of a sentence: `the disk of armhf-vm`.
    pub(super) fn described(&self) -> String {
        let vm = self.vm.map_or("a VM", |vm| vm.value.as_str());
        format!("the {} of {vm}", self.purpose())
    }

    pub(super) fn is_read_only(&self) -> bool {
        matches!(
            self.purpose,
            Purpose::Seed
                | Purpose::DeviceTree
                | Purpose::Installer
                | Purpose::Base
                | Purpose::Backing
        )
    }

    const fn is_base(&self) -> bool {
        matches!(self.purpose, Purpose::Base | Purpose::Backing)
    }

    pub(super) fn labelled(&self) -> String {
        format!("{} {}", self.purpose(), self.path.value)
    }

    /// Whether it is the same use of the same path.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.purpose == other.purpose && self.path.value == other.path.value
    }

    /// Whether another use of this path, or of one inside of it, harms neither: what is only read, and a share that guests
    /// have in common.
    pub(super) fn may_hold(&self, inner: &Self) -> bool {
        let same = self.path.value == inner.path.value;
        match (self.purpose, inner.purpose) {
            (Purpose::Further { .. }, Purpose::Further { .. }) => same,
            (Purpose::Further { readonly: true }, _) => inner.is_read_only() && !inner.is_base(),
            _ => same && self.is_read_only() && inner.is_read_only(),
        }
    }

    /// Whether the path is this one's, or inside of it.
    pub(super) fn covers(&self, path: &str) -> bool {
        is_inside_or_same(path, self.path.value.as_str())
    }
}

pub(super) fn claims_of(vm: &PartialVm) -> Vec<Claim<'_>> {
    let mut paths = Vec::new();
    if let Ok(boot) = &vm.boot {
        paths.push((Purpose::Share, boot.share.as_ref().ok()));
        let dtb = boot.dtb.as_ref().ok();
        paths.push((Purpose::DeviceTree, dtb.and_then(Option::as_ref)));
    }
    for share in vm.readable_shares() {
        let readonly = share.readonly.as_ref().ok().and_then(Option::as_ref);
        let readonly = readonly.is_some_and(|readonly| readonly.value);
        paths.push((Purpose::Further { readonly }, share.path.as_ref().ok()));
    }
    for disk in vm.readable_disks() {
        paths.push((Purpose::Disk, disk.path.as_ref().ok()));
        let from = disk.from.as_ref().ok().and_then(Option::as_ref);
        paths.extend(from.map(|from| (Purpose::Base, from.path.as_ref().ok())));
        let backing = disk.backing.as_ref().ok().and_then(Option::as_ref);
        paths.extend(backing.map(|backing| (Purpose::Backing, backing.path.as_ref().ok())));
    }
    if let Ok(console) = &vm.console {
        let log = console.log.as_ref().ok();
        paths.push((Purpose::Log, log.and_then(Option::as_ref)));
    }
    if let Some(seed) = vm.readable_seed() {
        let files = [&seed.kernel, &seed.initrd].into_iter();
        paths.extend(files.map(|path| (Purpose::Seed, path.as_ref().ok())));
    }
    if let Some(install) = vm.readable_install() {
        let files = install.files.iter().flatten().map(|file| &file.source);
        let files = [&install.kernel, &install.initrd].into_iter().chain(files);
        paths.extend(files.map(|path| (Purpose::Installer, path.as_ref().ok())));
    }
    let vm = vm.name.as_ref().ok();
    let claim = |(purpose, path): (_, Option<_>)| path.map(|path| Claim { vm, purpose, path });
    paths.into_iter().filter_map(claim).collect()
}

fn is_inside_or_same(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Finds the paths of a VM that no VM can be given.
pub(super) fn path_problems(vm: &PartialVm) -> Vec<Problem> {
    let claims = claims_of(vm).into_iter();
    let problems = claims.flat_map(|claim| [refusal(&claim), too_general(&claim)]);
    problems.flatten().collect()
}

fn refusal(claim: &Claim<'_>) -> Option<Problem> {
    let path = claim.path.value.as_str();
    let refused = |message: String, help| {
        let problem = Problem::new(ProblemKind::PathRefused, &claim.path.range, message);
        Some(problem.help(help))
    };
    let inside = |folders: &[&'static str]| {
        let mut folders = folders.iter().copied();
        folders.find(|folder| is_inside_or_same(path, folder))
    };
    let what = claim.described();
    if inside(&[paths::STATE, paths::RUN]).is_some() {
        let message = format!("{what} is in armfleet's own folder");
        return refused(message, "choose another folder, such as one in /srv");
    }
    let is_read_only = claim.is_read_only();
    if is_read_only && claim.purpose != Purpose::Backing {
        return None;
    }
    let of_boot = BOOT_PREFIXES.iter().filter(|_| !is_read_only);
    let mut forbidden = SYSTEM_PREFIXES.iter().chain(of_boot);
    if let Some(prefix) = forbidden.find(|prefix| path.starts_with(**prefix)) {
        let message = format!("libvirt gives no VM a path that begins with `{prefix}`");
        let help = "its AppArmor profiles protect the system's folders; use one in /srv or /var";
        return refused(message, help);
    }
    if is_read_only {
        return None;
    }
    // A disk there is a block device.
    let is_device = claim.purpose == Purpose::Disk && inside(&["/dev"]).is_some();
    if is_device || inside(&[LOCAL_FOLDER]).is_some() {
        return None;
    }
    let message = format!(
        "{what} is in {}, a folder of the system",
        inside(&ROOT_FOLDERS)?
    );
    let help = "use a folder for VMs, such as one in /srv, /var/lib/libvirt or /var/log";
    refused(message, help)
}

fn too_general(claim: &Claim<'_>) -> Option<Problem> {
    let path = claim.path.value.as_str();
    let top = !path[1..].contains('/');
    let general = top || COMMON_FOLDERS.contains(&path) || is_inside_or_same(paths::STATE, path);
    if !general {
        return None;
    }
    let (message, help) = match claim.purpose {
        Purpose::Share => (
            format!("{path} is not a folder for one VM alone"),
            format!(
                "the guest owns its boot share, and all in it; use a folder of its own, such as {path}/NAME-boot"
            ),
        ),
        Purpose::Further { .. } => (
            format!("{path} holds more than a guest is to reach"),
            format!("share a folder for this purpose alone, such as {path}/shared"),
        ),
        _ => return None,
    };
    Some(Problem::new(ProblemKind::ShareTooGeneral, &claim.path.range, message).help(help))
}
