//! Code that runs as QEMU's user, as any VM's could, against another VM that is started: it exchanges the names in that VM's
//! share for links to files of others, and writes to what that VM booted, by its name and through files that it keeps open.
//! What was not checked never boots, and libvirt gives it nothing outside.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, chown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat_with, symlinkat, unlinkat,
};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::fleet::{SHARE, VM, stopped_recipe};
use crate::host::{GuestFiles, TestHost};

const QEMU: u32 = 64055;
const BOOTS: [&str; 2] = ["vmlinuz", "initrd.img"];
/// What the recipe and 0.1.0 had in the share, too.
const OTHERS: [&str; 2] = ["virtio-vmlinuz", "virtio-initrd.img"];
const SECRET: &str = "/srv/secret";

struct Attack {
    host: TestHost,
    /// Where the domain opens what it boots.
    boots: PathBuf,
    names: Vec<String>,
}

impl Attack {
    /// A VM that is off, and whose guest has installed a pair.
    fn on(handover: &str, boots: &str) -> Self {
        let text = stopped_recipe().replace(
            "    boot:\n",
            &format!("    boot:\n      handover: {handover}\n"),
        );
        let host = TestHost::with_applied(&text);
        let files = GuestFiles::get();
        let version = &files.second;
        let names = BOOTS.map(|name| format!("{name}-{version}"));
        for (from, name) in [files.kernel(version), files.initrd(version)]
            .iter()
            .zip(&names)
        {
            let to = host.path(SHARE).join(name);
            fs::copy(from, &to).unwrap();
            chown(to, Some(QEMU), Some(QEMU)).unwrap();
        }
        host.write(SECRET, "root's");
        let boots = host.path(boots);
        let names = names.into_iter().chain(OTHERS.map(str::to_owned)).collect();
        Self { host, boots, names }
    }

    fn secret(&self) -> (u32, u32, u64, i64) {
        let seen = fs::metadata(self.host.path(SECRET)).unwrap();
        (seen.uid(), seen.gid(), seen.nlink(), seen.ctime_nsec())
    }

    /// Exchanges each name for a link to the secret, and back.
    fn exchange(&self, share: &File, over: &AtomicBool, exchanged: &AtomicUsize) -> io::Result<()> {
        become_qemus();
        for name in &self.names[BOOTS.len()..] {
            symlinkat("../secret", share, name)?;
        }
        while !over.load(Ordering::SeqCst) {
            for name in &self.names {
                symlinkat("../secret", share, "other")?;
                renameat_with(share, "other", share, name, RenameFlags::EXCHANGE)?;
                thread::yield_now();
                renameat_with(share, "other", share, name, RenameFlags::EXCHANGE)?;
                unlinkat(share, "other", AtFlags::empty())?;
                linkat(share, name, share, "other", AtFlags::empty())?;
                renameat_with(share, "other", share, name, RenameFlags::empty())?;
                let _ = unlinkat(share, "other", AtFlags::empty());
            }
            exchanged.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Starts and ends the VM while its names are exchanged. `check` sees each start, before anything was written to what
    /// booted.
    fn run(&self, starts: usize, check: impl Fn(&Self)) {
        let (over, exchanged) = (AtomicBool::new(false), AtomicUsize::new(0));
        let share = File::open(self.host.path(SHARE)).unwrap();
        let before = self.secret();
        let mut kept = Vec::new();
        thread::scope(|scope| {
            let attacker = scope.spawn(|| self.exchange(&share, &over, &exchanged));
            let _end = Over(&over);
            for _ in 0..starts {
                self.host.virsh(&["start", VM]).success();
                check(self);
                kept.push(self.write_to_what_booted(&kept));
                self.host.virsh(&["destroy", VM]).success();
                kept.truncate(8);
                assert_eq!(self.secret(), before);
            }
            over.store(true, Ordering::SeqCst);
            attacker.join().unwrap().unwrap();
        });
        let exchanged = exchanged.into_inner();
        println!("{starts} starts, {exchanged} exchanges");
        assert!(exchanged > starts);
    }

    /// As QEMU's user: what booted belongs to it while the VM runs. What it opens it keeps, and writes to it later.
    fn write_to_what_booted(&self, kept: &[[File; 2]]) -> [File; 2] {
        let folder =
            rustix::fs::open(&self.boots, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        thread::scope(|scope| {
            let write = || {
                become_qemus();
                let opened = BOOTS.map(|name| {
                    let flags = OFlags::RDWR | OFlags::CLOEXEC;
                    File::from(openat(&folder, name, flags, Mode::empty()).unwrap())
                });
                for file in kept.iter().chain([&opened]).flatten() {
                    file.write_all_at(&[0x41; 128], 4096).unwrap();
                }
                opened
            };
            scope.spawn(write).join().unwrap()
        })
    }
}

/// Ends the exchanging.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn become_qemus() {
    let id = Uid::from_raw(QEMU);
    set_thread_res_uid(id, id, id).unwrap();
}

fn copies(starts: usize) {
    let attack = Attack::on("copy", "/var/lib/armfleet/vms/armhf-vm/boot/current");
    let files = GuestFiles::get();
    let pairs = [&files.first, &files.second].map(|version| {
        [files.kernel(version), files.initrd(version)].map(|path| fs::read(path).unwrap())
    });
    attack.run(starts, |attack| {
        let boots = BOOTS.map(|name| fs::read(attack.boots.join(name)).unwrap());
        assert!(
            pairs.contains(&boots),
            "bytes that nobody checked have booted"
        );
    });
}

/// Its guest can write to what it boots, as that is its own; nothing else gets into its place.
fn links(starts: usize) {
    let attack = Attack::on("link", "/srv/.armfleet-armhf-vm-boot");
    attack.run(starts, |attack| {
        let seen = fs::symlink_metadata(attack.boots.join(BOOTS[0])).unwrap();
        assert!(seen.is_file() && seen.uid() == QEMU);
        let folder = fs::symlink_metadata(&attack.boots).unwrap();
        assert_eq!((folder.uid(), folder.mode() & 0o7777), (0, 0o711));
    });
}

#[test]
fn another_vms_code_changes_nothing_that_boots() {
    copies(8);
}

#[test]
fn another_vms_code_puts_nothing_beside_a_share() {
    links(8);
}

#[test]
#[ignore = "long: a thousand starts"]
fn another_vms_code_changes_nothing_that_boots_in_a_thousand_starts() {
    copies(1_000);
}

#[test]
#[ignore = "long: a thousand starts"]
fn another_vms_code_puts_nothing_beside_a_share_in_a_thousand_starts() {
    links(1_000);
}
