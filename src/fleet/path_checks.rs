//! Checks of paths: what may be given to a VM at all, and what only to one.

use super::fields::Spanned;
use super::partial::{PartialVm, PartialVms};
use crate::paths;
use crate::problem::{Problem, ProblemKind};
use crate::values::{HostPath, VmName};
use std::collections::BTreeSet;

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

/// What a VM does with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Share,
    Disk,
    Log,
    Seed,
    Installer,
}

/// A VM's use of a path.
#[derive(Debug, Clone, Copy)]
struct Claim<'d> {
    vm: Option<&'d Spanned<VmName>>,
    purpose: Purpose,
    path: &'d Spanned<HostPath>,
}

impl Claim<'_> {
    fn purpose(&self) -> &'static str {
        match self.purpose {
            Purpose::Share => "boot share",
            Purpose::Disk => "disk",
            Purpose::Log => "console log",
            Purpose::Seed => "seed",
            Purpose::Installer => "installer",
        }
    }

    /// As a part of a sentence: `the disk of armhf-vm`.
    fn described(&self) -> String {
        let vm = self.vm.map_or("a VM", |vm| vm.value.as_str());
        format!("the {} of {vm}", self.purpose())
    }

    /// Whether nobody writes there.
    fn is_read_only(&self) -> bool {
        matches!(self.purpose, Purpose::Seed | Purpose::Installer)
    }

    fn labelled(&self) -> String {
        format!("{} {}", self.purpose(), self.path.value)
    }

    /// Whether the path is this one's, or inside of it.
    fn covers(&self, path: &str) -> bool {
        is_inside_or_same(path, self.path.value.as_str())
    }
}

/// Every use of a path by any VM, in the order of the file.
fn claims<'d>(draft: &PartialVms<'d>) -> Vec<Claim<'d>> {
    let mut claims: Vec<_> = draft.readable_vms().flat_map(claims_of).collect();
    claims.sort_by_key(|claim| (claim.path.range.start, claim.path.range.end));
    claims
}

fn claims_of(vm: &PartialVm) -> Vec<Claim<'_>> {
    let share = vm
        .boot
        .as_ref()
        .ok()
        .and_then(|boot| boot.share.as_ref().ok());
    let disks = vm
        .readable_disks()
        .filter_map(|disk| disk.path.as_ref().ok());
    let log = vm.console_log.as_ref().ok().and_then(Option::as_ref);
    let seed = vm.readable_seed();
    let seeds = seed
        .into_iter()
        .flat_map(|seed| [&seed.kernel, &seed.initrd]);
    let installer = vm.readable_install().into_iter().flat_map(|install| {
        let files = install.files.iter().flatten().map(|file| &file.source);
        [&install.kernel, &install.initrd].into_iter().chain(files)
    });
    let share = share.map(|path| (Purpose::Share, path));
    let disks = disks.map(|path| (Purpose::Disk, path));
    let log = log.map(|path| (Purpose::Log, path));
    let seeds = seeds.flatten().map(|path| (Purpose::Seed, path));
    let installer = installer.flatten().map(|path| (Purpose::Installer, path));
    let vm = vm.name.as_ref().ok();
    let all = share.into_iter().chain(disks).chain(log).chain(seeds);
    let all = all.chain(installer);
    all.map(|(purpose, path)| Claim { vm, purpose, path })
        .collect()
}

fn is_inside_or_same(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Paths that no VM can be given.
pub(crate) fn path_refused(draft: &PartialVms) -> Vec<Problem> {
    claims(draft).iter().filter_map(refusal).collect()
}

fn refusal(claim: &Claim<'_>) -> Option<Problem> {
    let path = claim.path.value.as_str();
    let new = |message| Problem::new(ProblemKind::PathRefused, &claim.path.range, message);
    let inside = |folders: &[&'static str]| {
        let mut folders = folders.iter().copied();
        folders.find(|folder| is_inside_or_same(path, folder))
    };
    if inside(&[paths::STATE, paths::RUN]).is_some() {
        let message = format!("{} is in armfleet's own folder", claim.described());
        return Some(new(message).help("choose another folder, such as one in /srv"));
    }
    if claim.is_read_only() {
        return None;
    }
    let mut forbidden = SYSTEM_PREFIXES.iter().chain(&BOOT_PREFIXES);
    if let Some(prefix) = forbidden.find(|prefix| path.starts_with(**prefix)) {
        let message = format!("libvirt gives no VM a path that begins with `{prefix}`");
        return Some(
            new(message).help(
                "its AppArmor profiles protect the system's folders; use one in /srv or /var",
            ),
        );
    }
    // A disk that is a device has a message of its own.
    let is_device = claim.purpose == Purpose::Disk && inside(&["/dev"]).is_some();
    if is_device || inside(&[LOCAL_FOLDER]).is_some() {
        return None;
    }
    let folder = inside(&ROOT_FOLDERS)?;
    let message = format!(
        "{} is in {folder}, a folder of the system",
        claim.described()
    );
    Some(
        new(message)
            .help("use a folder for VMs, such as one in /srv, /var/lib/libvirt or /var/log"),
    )
}

/// A boot share belongs to its guest alone: its folder gets QEMU's user as its owner, and the guest writes what it likes.
pub(crate) fn share_too_general(draft: &PartialVms) -> Vec<Problem> {
    let general = |path: &str| {
        let top = !path[1..].contains('/');
        top || COMMON_FOLDERS.contains(&path) || is_inside_or_same(paths::STATE, path)
    };
    let claims = claims(draft).into_iter();
    let shares = claims.filter(|claim| claim.purpose == Purpose::Share);
    let wrong = shares.filter(|share| general(share.path.value.as_str()));
    let problem = |share: Claim<'_>| {
        let path = &share.path.value;
        let message = format!("{path} is not a folder for one VM alone");
        Problem::new(ProblemKind::ShareTooGeneral, &share.path.range, message)
            .help(format!("the guest owns its boot share, and all in it; use a folder of its own, such as {path}/NAME-boot"))
    };
    wrong.map(problem).collect()
}

/// Two uses of one path, or of a path inside of another. Seeds are only read, so many VMs may have the same.
pub(crate) fn shared_path(draft: &PartialVms) -> Vec<Problem> {
    let mut claims = claims(draft);
    // With `/` before everything else, what is inside of a path comes right after it.
    claims.sort_by(|one, other| components(one).cmp(components(other)));
    let mut around: Vec<Claim<'_>> = Vec::new();
    let mut problems = Vec::new();
    // What a range says once is the same mistake for each of its VMs.
    let mut told = BTreeSet::new();
    for claim in claims {
        around.retain(|outer| outer.covers(claim.path.value.as_str()));
        match around.last() {
            Some(outer)
                if outer.is_read_only()
                    && claim.is_read_only()
                    && outer.path.value == claim.path.value => {}
            Some(outer) => {
                let problem = conflict(outer, &claim);
                let places = problem.others.iter().map(|other| other.range.start);
                if told.insert((problem.place.range.start, places.collect::<Vec<_>>())) {
                    problems.push(problem);
                }
            }
            None => around.push(claim),
        }
    }
    problems
}

fn components<'d>(claim: &Claim<'d>) -> impl Iterator<Item = &'d str> {
    claim.path.value.as_str().split('/')
}

fn conflict(outer: &Claim<'_>, inner: &Claim<'_>) -> Problem {
    let message = if outer.path.value == inner.path.value {
        format!(
            "{} and {} are the same",
            outer.described(),
            inner.described()
        )
    } else if outer.purpose == Purpose::Share {
        format!("{} is inside of {}", inner.described(), outer.described())
    } else {
        format!(
            "{} is below {}, which is a file",
            inner.described(),
            outer.described()
        )
    };
    let later = inner.path.range.start >= outer.path.range.start;
    let (place, other) = if later {
        (inner, outer)
    } else {
        (outer, inner)
    };
    let help = match outer.purpose {
        Purpose::Share => {
            "a guest can change everything in its boot share: give each its own path, with `{name}` in it"
        }
        _ => "give each its own path, with `{name}` in it",
    };
    // Through an alias both have the same place; then their VMs are what tells them apart.
    let written_once = place.path.range == other.path.range;
    let problem = match inner.vm.filter(|_| written_once) {
        Some(vm) => Problem::new(ProblemKind::SharedPath, &vm.range, message)
            .also(&other.path.range, other.labelled()),
        None => Problem::new(ProblemKind::SharedPath, &place.path.range, message)
            .label(place.labelled())
            .also(&other.path.range, other.labelled()),
    };
    problem.help(help)
}
