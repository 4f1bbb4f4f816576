//! What the hook costs at a start, against a shell hook that does what the recipe did, and against the tools that copy, digest
//! and unpack the same files. All are run by turns; the median of each counts.
//!
//! The hook works on a host's real paths, so this runs in a mount namespace of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod decoding;
mod turns;
#[expect(dead_code, reason = "other parts are for the hook's tests")]
#[path = "../hook/world.rs"]
mod world;

use armfleet::hook::SHIM;
use armfleet::paths;
use serde_json::{Value, json};
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use turns::{Turn, medians};
use world::World;

const BINARY: &str = env!("CARGO_BIN_EXE_armfleet-hook");
const VERSION: &str = "6.1.0-48-armmp";
/// What this program is called with where `/var/lib` and `/run` are its own.
const INSIDE: &str = "--inside";
const MB: f64 = 1e6;
const KERNEL_SIZE: usize = 5_000_000;
/// An archive of that size becomes an initrd of about 30 MB.
const UNPACKED_SIZE: usize = 90_000_000;
/// The file system's times must be older than that to be trusted.
const SETTLING: Duration = Duration::from_secs(4);

const FOREIGN_LIMIT: f64 = 2.0;
const UNCHANGED_LIMIT: f64 = 0.45;

/// Runs this program again where what the hook writes is nobody else's.
fn go_inside() -> std::io::Error {
    let rights: &[&str] = match rustix::process::geteuid().is_root() {
        true => &[],
        false => &["--user", "--map-root-user"],
    };
    let script = "mount -t tmpfs none /var/lib && mkdir /var/lib/armfleet && mount -t tmpfs none /run && exec \"$@\"";
    Command::new("unshare")
        .args(rights)
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .arg(INSIDE)
        .exec()
}

/// A VM on the paths of a host, with the shim and the recipe's hook.
struct Vm {
    world: World,
    xml: PathBuf,
    shim: PathBuf,
    recipe: PathBuf,
}

impl Vm {
    fn new(world: World) -> Self {
        let status = Command::new("mount")
            .arg("--bind")
            .arg(world.root.below(paths::STATE))
            .arg(paths::STATE)
            .status();
        assert!(status.unwrap().success(), "mount");
        let xml = world.outside("domain.xml");
        fs::write(&xml, world.xml()).unwrap();
        let shim = SHIM.replace("hook=/usr/bin/armfleet-hook\n", &format!("hook={BINARY}\n"));
        let recipe = format!(
            "#!/bin/sh\n[ \"$1 $2\" = 'armhf-vm prepare' ] || exit 0\ncd {} || exit 1\n\
             ln -sf $(basename $(cat vmlinuz)) virtio-vmlinuz\nln -sf $(basename $(cat initrd.img)) virtio-initrd.img\n",
            world.share("").display()
        );
        Self {
            xml,
            shim: script(&world, "50-armfleet", &shim),
            recipe: script(&world, "recipe", &recipe),
            world,
        }
    }

    /// Runs a hook as libvirt does.
    fn call(&self, hook: &Path, domain: &str) {
        let status = Command::new(hook)
            .args([domain, "prepare", "begin", "-"])
            .stdin(File::open(&self.xml).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{}", hook.display());
    }

    fn start(&self) {
        self.call(&self.shim, "armhf-vm");
    }

    /// Starts until what is in the share is known to be what it was.
    fn settle(&self) {
        self.start();
        thread::sleep(SETTLING);
        self.start();
        self.start();
        assert_eq!(self.world.booted(), VERSION);
    }

    /// Forgets what was staged, so that the next start stages it.
    fn forget(&self) {
        fs::remove_dir_all(self.world.path(paths::boot_folder)).unwrap();
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(paths::STATE).status();
    }
}

fn script(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.outside(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

/// A start of a domain that is not armfleet's, and one whose share is as it was; the pair is so small that its fresh copy is
/// the least that one costs.
fn unchanged_costs() -> Value {
    let vm = Vm::new(World::installed());
    vm.settle();
    let [foreign, unchanged, recipe] = medians(
        100,
        [
            Turn::new(|| vm.call(&vm.shim, "somebody-elses")),
            Turn::new(|| vm.start()),
            Turn::new(|| vm.call(&vm.recipe, "armhf-vm")),
        ],
    );
    json!({
        "milliseconds": { "foreign": foreign, "unchanged": unchanged, "recipe": recipe },
        "unchanged_over_recipe": unchanged / recipe,
    })
}

/// A pair as large as Debian's: when it is new, and what the fresh copy of it costs at each start.
fn pair_costs(unchanged: f64) -> Value {
    let world = World::new();
    let mut kernel = world::zimage(VERSION);
    kernel.resize(KERNEL_SIZE, 0x5a);
    // Its header has its size.
    kernel[0x2c..0x30].copy_from_slice(&u32::try_from(KERNEL_SIZE).unwrap().to_le_bytes());
    let initrd = decoding::compressed("zstd -q", &decoding::archive(UNPACKED_SIZE));
    let size = (kernel.len() + initrd.len()) as f64 / MB;
    let names = ["vmlinuz", "initrd.img"].map(|kind| world.share(&format!("{kind}-{VERSION}")));
    fs::write(&names[0], kernel).unwrap();
    fs::write(&names[1], &initrd).unwrap();
    world.link_pair("", VERSION);
    let vm = Vm::new(world);
    vm.settle();
    let copies = vm.world.outside("copies");
    fs::create_dir(&copies).unwrap();
    let tools = || {
        let script =
            "cp -- \"$1\" \"$2\" \"$3\" && cd \"$3\" && sync -- * . && sha256sum -- * >/dev/null";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).args(&names).arg(&copies);
        assert!(shell.status().unwrap().success());
    };
    let [fresh, new, tools] = medians(
        9,
        [
            Turn::new(|| vm.start()),
            Turn::after(|| vm.forget(), || vm.start()),
            Turn::new(tools),
        ],
    );
    let [unpacked] = medians(9, [Turn::new(|| decoding::walk(initrd.as_slice()))]);
    json!({
        "megabytes": size,
        "milliseconds": { "unchanged": fresh, "new": new, "cp_sync_sha256sum": tools, "unpacking": unpacked },
        "fresh_copy_milliseconds_per_megabyte": (fresh - unchanged) / size,
        "new_over_tools": new / tools,
        "new_without_unpacking_over_tools": (new - unpacked) / tools,
    })
}

fn main() {
    if std::env::args()
        .nth(1)
        .is_none_or(|argument| argument != INSIDE)
    {
        panic!("cannot run unshare: {}", go_inside());
    }
    let unchanged = unchanged_costs();
    let milliseconds = |name: &str| unchanged["milliseconds"][name].as_f64().unwrap();
    let numbers = json!({
        "hook_bytes": fs::metadata(BINARY).unwrap().len(),
        "start": unchanged,
        "pair": pair_costs(milliseconds("unchanged")),
        "unpacking": decoding::costs(),
    });
    println!("{numbers:#}");
    std::io::stdout().flush().unwrap();
    let foreign = milliseconds("foreign");
    assert!(
        foreign <= FOREIGN_LIMIT,
        "a foreign domain waits {foreign:.1} ms"
    );
    let ratio = numbers["start"]["unchanged_over_recipe"].as_f64().unwrap();
    assert!(
        ratio <= UNCHANGED_LIMIT,
        "an unchanged share costs {ratio:.2} of the recipe's hook"
    );
}
