//! The libvirt hook's binary. The shim in `qemu.d/` runs it before a VM of armfleet's starts, and reads its exit code;
//! nothing else should, but `armfleet doctor` asks for its `--version`. It loads no libvirt, prints nothing on standard
//! output when libvirt runs it, and takes nothing from the environment.

use armfleet::hook::{EXIT_DONE, EXIT_REFUSED, Root, Verdict, prepare};
use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

/// Longer than all that the hook does may take. libvirtd holds the VM's lock meanwhile, and waits without end.
const LIMIT: Duration = Duration::from_secs(60);
const EXIT_TOO_LATE: i32 = 124;
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // libvirt never asks: it gives four arguments.
    if arguments == ["--version"] {
        tell_version();
        return ExitCode::SUCCESS;
    }
    let [domain, operation, phase, ..] = arguments.as_slice() else {
        complain(
            "armfleet-hook: run by libvirt's hook /etc/libvirt/hooks/qemu.d/50-armfleet, not by hand\n",
        );
        return ExitCode::from(EXIT_USAGE);
    };
    if operation != "prepare" || phase != "begin" {
        return ExitCode::SUCCESS;
    }
    // A user's own libvirtd runs the same hooks; a name that is no text is none of ours.
    let ours = domain
        .to_str()
        .filter(|_| rustix::process::geteuid().is_root());
    let Some(domain) = ours else {
        return ExitCode::from(EXIT_DONE);
    };
    let limit = thread::Builder::new().spawn(|| {
        thread::sleep(LIMIT);
        process::exit(EXIT_TOO_LATE);
    });
    if let Err(error) = limit {
        complain(&format!(
            "armfleet: {domain}: no thread for the hook's time limit: {error}\n"
        ));
        return ExitCode::from(EXIT_REFUSED);
    }
    let outcome = prepare(&Root::host(), domain, io::stdin().lock());
    complain(&outcome.text);
    ExitCode::from(match outcome.verdict {
        Verdict::Done => EXIT_DONE,
        Verdict::Refused => EXIT_REFUSED,
    })
}

fn tell_version() {
    let version = concat!("armfleet-hook ", env!("CARGO_PKG_VERSION"), "\n");
    let _ = io::stdout().write_all(version.as_bytes());
}

/// The reader of standard error may be gone; that changes no answer.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
