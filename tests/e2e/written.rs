//! Code that runs as QEMU's user, as any VM's could, against other VMs that are started: it exchanges the names in their
//! shares for links to files of others, and writes to what they booted, by its name and through files that it keeps open.
//! What was not checked is never loaded, and libvirt gives it nothing outside.
//!
//! QEMU loads kernel and initrd before a processor runs: a VM that is started paused tells by its memory what would boot, and
//! some are let run to see that it does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, chown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat_with, symlinkat, unlinkat,
};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::fleet::{VM, second_vm, stopped_recipe};
use crate::host::{GuestFiles, TestHost};

const QEMU: u32 = 64055;
const BOOTS: [&str; 2] = ["vmlinuz", "initrd.img"];
/// What the recipe and 0.1.0 had in the share, too.
const OTHERS: [&str; 2] = ["virtio-vmlinuz", "virtio-initrd.img"];
const SECRET: &str = "/srv/secret";
/// Several start at once, since a start is mostly waiting.
const VMS: [&str; 3] = [VM, "armhf-vm-2", "armhf-vm-3"];
/// One in so many is let run.
const RUNS: usize = 50;

/// What is written to a kernel and an initrd that booted, and where: both stay such as the hook takes (of gzip it is the time).
const WRITTEN: [(usize, &[u8]); 2] = [(4096, &[0x41; 128]), (4, b"AAAA")];

/// The memory of a VM of the recipe, and where QEMU puts kernel and initrd in it (`hw/arm/boot.c`).
const MEMORY: u64 = 512 << 20;
const LOADED_AT: [u64; 2] = [0x1_0000, 128 << 20];

struct Attack {
    host: TestHost,
    /// The seed's pair, and the one that the guests have installed.
    pairs: [[Vec<u8>; 2]; 2],
    names: Vec<String>,
}

/// A VM that is attacked.
struct Target {
    vm: &'static str,
    share: File,
    /// Where the domain opens what it boots.
    boots: PathBuf,
}

impl Attack {
    /// VMs that are off, and whose guests have installed a pair.
    fn on(handover: &str) -> Self {
        let others = VMS[1..].iter().map(|vm| second_vm(vm));
        let text = (stopped_recipe() + &others.collect::<String>()).replace(
            "    boot:\n",
            &format!("    boot:\n      handover: {handover}\n"),
        );
        let host = TestHost::with_applied(&text);
        let files = GuestFiles::get();
        let pairs = [&files.first, &files.second].map(|version| {
            [files.kernel(version), files.initrd(version)].map(|path| fs::read(path).unwrap())
        });
        let names = BOOTS.map(|name| format!("{name}-{}", files.second));
        for vm in VMS {
            for (bytes, name) in pairs[1].iter().zip(&names) {
                let to = host.path(format!("/srv/{vm}-boot/{name}"));
                fs::write(&to, bytes).unwrap();
                chown(to, Some(QEMU), Some(QEMU)).unwrap();
            }
        }
        host.write(SECRET, "root's");
        let names = names.into_iter().chain(OTHERS.map(str::to_owned)).collect();
        Self { host, pairs, names }
    }

    fn secret(&self) -> (u32, u32, u64, i64) {
        let seen = fs::metadata(self.host.path(SECRET)).unwrap();
        (seen.uid(), seen.gid(), seen.nlink(), seen.ctime_nsec())
    }

    /// Exchanges each name of each share for a link to the secret, and back.
    fn exchange(&self, shares: &[&File], over: &AtomicBool) -> io::Result<usize> {
        become_qemus();
        for (share, name) in shares.iter().flat_map(|share| {
            let names = &self.names[BOOTS.len()..];
            names.iter().map(move |name| (share, name))
        }) {
            symlinkat("../secret", share, name)?;
        }
        let (mut exchanged, mut round) = (0, 0);
        while !over.load(Ordering::SeqCst) {
            for (share, name) in shares
                .iter()
                .flat_map(|share| self.names.iter().map(move |name| (share, name)))
            {
                symlinkat("../secret", share, "other")?;
                renameat_with(share, "other", share, name, RenameFlags::EXCHANGE)?;
                pause(exchanged);
                renameat_with(share, "other", share, name, RenameFlags::EXCHANGE)?;
                unlinkat(share, "other", AtFlags::empty())?;
                linkat(share, name, share, "other", AtFlags::empty())?;
                renameat_with(share, "other", share, name, RenameFlags::empty())?;
                let _ = unlinkat(share, "other", AtFlags::empty());
                pause(exchanged / 2);
                exchanged += 1;
            }
            // Without rest the hook would never see a pair that stays as it is for as long as it reads.
            round += 1;
            if round % 20 == 0 {
                thread::sleep(Duration::from_millis(600));
            }
        }
        Ok(exchanged)
    }

    /// Starts and ends the VMs while their names are exchanged. `check` sees each start, before anything was written to what
    /// booted.
    fn run(
        &self,
        starts: usize,
        boots: impl Fn(&str) -> String,
        check: impl Fn(&Target, [&[u8]; 2]) + Sync,
    ) {
        let (over, begun, began) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
        let targets = VMS.map(|vm| Target {
            vm,
            share: File::open(self.host.path(format!("/srv/{vm}-boot"))).unwrap(),
            boots: self.host.path(boots(vm)),
        });
        let shares: Vec<_> = targets.iter().map(|target| &target.share).collect();
        let exchanged = thread::scope(|scope| {
            let attacker = scope.spawn(|| self.exchange(&shares, &over));
            let _end = Over(&over);
            let attacked: Vec<_> = targets
                .iter()
                .map(|target| scope.spawn(|| self.attack(target, &begun, starts, &check)))
                .collect();
            for attacked in attacked {
                attacked.join().unwrap();
            }
            over.store(true, Ordering::SeqCst);
            attacker.join().unwrap().unwrap()
        });
        let seconds = began.elapsed().as_secs();
        println!("{starts} starts, {exchanged} exchanges, {seconds} s");
        assert!(exchanged > starts);
    }

    /// Starts and ends one VM until all have been started so often.
    fn attack(
        &self,
        target: &Target,
        begun: &AtomicUsize,
        starts: usize,
        check: impl Fn(&Target, [&[u8]; 2]),
    ) {
        let (before, mut kept) = (self.secret(), Vec::new());
        let start = format!("start --paused {}", target.vm);
        let again = format!("destroy {}; {start}", target.vm);
        let mut next = &start;
        loop {
            let number = begun.fetch_add(1, Ordering::SeqCst);
            if number >= starts {
                return;
            }
            self.host.virsh(&[next]).success();
            next = &again;
            let loaded = self.loaded(target.vm);
            check(target, loaded.each_ref().map(Vec::as_slice));
            kept.push(target.write_to_what_booted(&kept));
            if kept.len() > 8 {
                kept.remove(0);
            }
            assert_eq!(self.secret(), before);
        }
    }

    /// What QEMU has loaded for a VM whose processor has not run: as much of its memory as the longest file.
    fn loaded(&self, vm: &str) -> [Vec<u8>; 2] {
        let pid = self.host.read(format!("/run/libvirt/qemu/{vm}.pid"));
        let process = format!("/proc/{}", pid.trim());
        let maps = self.host.read(format!("{process}/maps"));
        let mut starts = maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (from, to) = range.split_once('-')?;
            let from = u64::from_str_radix(from, 16).ok()?;
            let to = u64::from_str_radix(to, 16).ok()?;
            (to - from == MEMORY && rest.starts_with("rw")).then_some(from)
        });
        let start = starts.next_back().expect("the guest's memory");
        let memory = File::open(self.host.path(format!("{process}/mem"))).unwrap();
        let sizes = [0, 1].map(|file| self.pairs.iter().map(|pair| pair[file].len()).max());
        [0, 1].map(|file| {
            let mut loaded = vec![0; sizes[file].unwrap()];
            memory
                .read_exact_at(&mut loaded, start + LOADED_AT[file])
                .unwrap();
            loaded
        })
    }
}

impl Target {
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
                for files in kept.iter().chain([&opened]) {
                    for (file, (at, bytes)) in files.iter().zip(WRITTEN) {
                        file.write_all_at(bytes, at as u64).unwrap();
                    }
                }
                opened
            };
            scope.spawn(write).join().unwrap()
        })
    }
}

/// Leaves a state for a while, each time for another one, also for none: a start meets it at any point.
fn pause(number: usize) {
    let microseconds = (number * 7919) % 400;
    match microseconds < 50 {
        true => thread::yield_now(),
        false => thread::sleep(Duration::from_micros(microseconds as u64)),
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
    let attack = Attack::on("copy");
    let counts = [0; 2].map(AtomicUsize::new);
    attack.run(
        starts,
        |vm| format!("/var/lib/armfleet/vms/{vm}/boot/current"),
        |target, loaded| {
            let is_loaded = |pair: &[Vec<u8>; 2]| {
                let mut files = pair.iter().zip(loaded);
                files.all(|(file, memory)| memory.starts_with(file))
            };
            let pair = attack.pairs.iter().position(is_loaded);
            let pair = pair.expect("bytes that were checked, and no others, are loaded");
            let count = counts[pair].fetch_add(1, Ordering::SeqCst);
            if count % RUNS == RUNS - 1 {
                attack.host.virsh(&["resume", target.vm]).success();
                attack.host.guest_say(target.vm, "report").success();
            }
        },
    );
    println!("of seed and share: {counts:?}");
}

/// Its guest can write to what it boots, as that is its own; nothing else gets into its place.
fn links(starts: usize) {
    let attack = Attack::on("link");
    let (counts, linked) = ([0; 2].map(AtomicUsize::new), AtomicUsize::new(0));
    let written = attack.pairs.each_ref().map(|pair| {
        let mut pair = pair.clone();
        for (file, (at, bytes)) in pair.iter_mut().zip(WRITTEN) {
            file[at..][..bytes.len()].copy_from_slice(bytes);
        }
        pair
    });
    attack.run(
        starts,
        |vm| format!("/srv/.armfleet-{vm}-boot"),
        |target, loaded| {
            let seen = fs::symlink_metadata(target.boots.join(BOOTS[0])).unwrap();
            assert!(seen.is_file() && seen.uid() == QEMU);
            let folder = fs::symlink_metadata(&target.boots).unwrap();
            assert_eq!((folder.uid(), folder.mode() & 0o7777), (0, 0o711));
            let is_loaded = |pair: usize| {
                let mut files = attack.pairs[pair].iter().zip(&written[pair]).zip(loaded);
                files.all(|((file, written), memory)| {
                    memory.starts_with(file) || memory.starts_with(written)
                })
            };
            let pair = (0..2).find(|pair| is_loaded(*pair));
            let pair = pair.expect("what its guest has, and nothing else, is loaded");
            counts[pair].fetch_add(1, Ordering::SeqCst);
            if seen.nlink() > 1 {
                linked.fetch_add(1, Ordering::SeqCst);
            }
        },
    );
    println!("of seed and share: {counts:?}; {linked:?} by a link");
}

#[test]
fn another_vms_code_changes_nothing_that_boots() {
    copies(12);
}

#[test]
fn another_vms_code_puts_nothing_beside_a_share() {
    links(12);
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
