//! What keeps libvirt from answering, as far as the process table shows it: libvirtd waits for its hooks without a limit,
//! and a stopped process answers nothing.

use super::files::process::DAEMONS;
use crate::host::waits::spoken;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Where hooks are.
const HOOKS: &str = "/etc/libvirt/hooks/";
/// A hook that has run for less than this is at its work.
const USUAL: Duration = Duration::from_secs(5);
/// Clock ticks in a second, as `/proc` counts them (`USER_HZ`): the same on every architecture that runs libvirt.
const TICKS: u64 = 100;

/// One process, as `/proc/PID/stat` has it.
struct Process {
    pid: u32,
    parent: u32,
    name: String,
    stopped: bool,
    age: Duration,
}

/// A line for each process that seems to keep libvirt from answering.
pub(super) fn causes(proc: &Path) -> Vec<String> {
    let uptime = uptime(proc).unwrap_or_default();
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let processes: Vec<Process> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Process::read(proc, pid, uptime))
        .collect();
    let daemons: Vec<u32> = processes
        .iter()
        .filter(|process| process.is_daemon())
        .map(|process| process.pid)
        .collect();
    let causes = processes.iter().filter_map(|process| {
        let is_child = daemons.contains(&process.parent);
        is_child
            .then(|| process.as_child(proc))
            .flatten()
            .or_else(|| process.as_stopped(proc))
    });
    causes.collect()
}

impl Process {
    fn read(proc: &Path, pid: u32, uptime: Duration) -> Option<Self> {
        let text = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
        // The name may hold anything, also parentheses.
        let (start, rest) = text.rsplit_once(") ")?;
        let (_, name) = start.split_once(" (")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let started: u64 = fields.get(19)?.parse().ok()?;
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            name: name.to_owned(),
            stopped: matches!(*fields.first()?, "T" | "t"),
            age: uptime.saturating_sub(Duration::from_millis(started.saturating_mul(1000 / TICKS))),
        })
    }

    fn is_daemon(&self) -> bool {
        DAEMONS.contains(&self.name.as_str())
    }

    fn arguments(&self, proc: &Path) -> Vec<String> {
        let path = proc.join(self.pid.to_string()).join("cmdline");
        let bytes = fs::read(path).unwrap_or_default();
        let texts = bytes.split(|byte| *byte == 0);
        texts
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect()
    }

    /// A child that libvirtd has waited for for unusually long: a hook, or what a hook has become.
    fn as_child(&self, proc: &Path) -> Option<String> {
        if self.age < USUAL {
            return None;
        }
        let arguments = self.arguments(proc);
        let (age, pid) = (spoken(self.age), self.pid);
        // A script's interpreter comes first, then the script, the VM and the operation.
        let at = arguments.iter().position(|text| text.starts_with(HOOKS));
        let hook = at.and_then(|at| arguments.get(at).zip(arguments.get(at + 1)));
        let what = match hook {
            Some((hook, vm)) => format!("hook {hook} of {vm}"),
            None => format!("libvirtd's child {}", self.name),
        };
        Some(format!("{what} has run for {age} (pid {pid})"))
    }

    fn as_stopped(&self, proc: &Path) -> Option<String> {
        let pid = self.pid;
        if !self.stopped {
            None
        } else if self.is_daemon() {
            Some(format!("{} is stopped (pid {pid})", self.name))
        } else if self.name.starts_with("qemu-system") {
            let vm = guest(&self.arguments(proc))?;
            Some(format!("QEMU of {vm} is stopped (pid {pid})"))
        } else {
            None
        }
    }
}

/// The domain that a QEMU runs, as libvirt names it: `-name guest=armhf-vm,debug-threads=on`.
fn guest(arguments: &[String]) -> Option<String> {
    let at = arguments.iter().position(|text| text == "-name")?;
    let rest = arguments.get(at + 1)?.strip_prefix("guest=")?;
    // A comma in a name would be doubled, and no VM of a fleet has one.
    rest.split(',').next().map(str::to_owned)
}

fn uptime(proc: &Path) -> Option<Duration> {
    let text = fs::read_to_string(proc.join("uptime")).ok()?;
    let seconds = text.split(['.', ' ']).next()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, pid: u32, stat: &str, cmdline: &[&str]) {
        let folder = proc.join(pid.to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("stat"), stat).unwrap();
        fs::write(folder.join("cmdline"), cmdline.join("\0")).unwrap();
    }

    /// A line of `/proc/PID/stat` of a process that began so many seconds after the host.
    fn stat(pid: u32, name: &str, state: char, parent: u32, began: u64) -> String {
        let between = ["0"; 17].join(" ");
        format!(
            "{pid} ({name}) {state} {parent} {between} {} 0 0",
            began * TICKS
        )
    }

    #[test]
    fn hooks_that_run_for_long_and_stopped_processes_are_named() {
        let proc = tempfile::tempdir().unwrap();
        let proc = proc.path();
        fs::write(proc.join("uptime"), "1000.25 3.00\n").unwrap();
        process(proc, 1, &stat(1, "init", 'S', 0, 0), &["init"]);
        process(proc, 10, &stat(10, "libvirtd", 'T', 1, 3), &["libvirtd"]);
        let hook = "/etc/libvirt/hooks/qemu.d/10-sleep";
        let script = ["/bin/sh", hook, "obs-02", "prepare", "begin", "-"];
        process(proc, 11, &stat(11, "10-sleep", 'S', 10, 935), &script);
        process(proc, 12, &stat(12, "10-sleep", 'S', 10, 998), &script);
        // A hook that a user runs by hand does not block libvirt.
        process(proc, 13, &stat(13, "10-sleep", 'S', 1, 900), &script);
        let name = ["qemu-system-arm", "-name", "guest=obs-03,debug-threads=on"];
        process(proc, 14, &stat(14, "qemu-system-arm", 'T', 1, 900), &name);
        process(
            proc,
            16,
            &stat(16, "sleep", 'S', 10, 940),
            &["sleep", "600"],
        );
        process(proc, 15, &stat(15, "qemu) (arm", 'T', 1, 900), &name);
        let mut seen = causes(proc);
        seen.sort();
        assert_eq!(
            seen,
            [
                "QEMU of obs-03 is stopped (pid 14)",
                "hook /etc/libvirt/hooks/qemu.d/10-sleep of obs-02 has run for 1 min 5 s (pid 11)",
                "libvirtd is stopped (pid 10)",
                "libvirtd's child sleep has run for 1 min (pid 16)",
            ]
        );
    }

    #[test]
    fn a_process_table_that_cannot_be_read_names_nothing() {
        let proc = tempfile::tempdir().unwrap();
        assert_eq!(causes(&proc.path().join("missing")), Vec::<String>::new());
        process(proc.path(), 7, "7 (x) T", &[]);
        assert_eq!(causes(proc.path()), Vec::<String>::new());
    }
}
