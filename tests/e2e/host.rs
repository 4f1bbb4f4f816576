//! A private host for one test: a sandbox of `tests/sandbox/enter`, kept open until the value is dropped.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The command under test, as cargo built it.
pub(crate) const ARMFLEET: &str = env!("CARGO_BIN_EXE_armfleet");

/// Where the commands of a test run, private to its host.
pub(crate) const WORK: &str = "/run/test";

/// No command of a test takes longer; what does is ended with code 124.
const COMMAND_LIMIT: &str = "1800";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A script of the sandbox.
pub(crate) fn script(name: &str) -> PathBuf {
    repository().join("tests/sandbox").join(name)
}

/// The kernels and initrds of the test guest, made on first use.
pub(crate) struct GuestFiles {
    folder: PathBuf,
    /// The version whose initrd is the seed.
    pub(crate) first: String,
    /// The version that the guest can install.
    pub(crate) second: String,
    /// The version of the arm64 kernel.
    pub(crate) arm64: String,
}

impl GuestFiles {
    pub(crate) fn get() -> &'static Self {
        static FILES: OnceLock<GuestFiles> = OnceLock::new();
        FILES.get_or_init(Self::make)
    }

    fn make() -> Self {
        let folder = repository().join("target/guest");
        let made = Command::new(repository().join("tests/guest/build"))
            .arg(&folder)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let versions = std::fs::read_to_string(folder.join("versions")).unwrap();
        let (first, second) = versions.trim_end().split_once('\n').unwrap();
        let (first, second) = (first.to_owned(), second.to_owned());
        let arm64 = std::fs::read_to_string(folder.join("arm64/version")).unwrap();
        Self {
            folder,
            first,
            second,
            arm64: arm64.trim_end().to_owned(),
        }
    }

    pub(crate) fn kernel(&self, version: &str) -> PathBuf {
        self.folder.join(format!("vmlinuz-{version}"))
    }

    pub(crate) fn initrd(&self, version: &str) -> PathBuf {
        self.folder.join(format!("initrd.img-{version}"))
    }

    /// A file of the arm64 guest: `vmlinuz`, `initrd.img`, or `packages.tar` for an armhf guest under its kernel.
    pub(crate) fn arm64(&self, file: &str) -> PathBuf {
        self.folder.join("arm64").join(file)
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
}

impl Output {
    /// Standard output of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

/// A host of its own, with libvirtd and virtlogd running and nothing defined.
pub(crate) struct TestHost {
    /// Ends when its standard input is closed, and everything in the sandbox with it.
    sandbox: Child,
    /// The sandbox's first process.
    pid: u32,
}

impl TestHost {
    /// Starts a host on which the hook's binary is installed and nothing else of armfleet.
    pub(crate) fn start() -> Self {
        let mut sandbox = Command::new(script("enter"))
            .args([
                "--name",
                "host",
                "--",
                "sh",
                "-c",
                "echo $SANDBOX_PID; exec cat",
            ])
            .env("ARMFLEET_HOOK_BINARY", env!("CARGO_BIN_EXE_armfleet-hook"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let Some(pid) =
            first_line(sandbox.stdout.take().unwrap()).and_then(|line| line.parse().ok())
        else {
            let mut reason = String::new();
            sandbox
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut reason)
                .unwrap();
            panic!(
                "no test host (run tests/sandbox/prerequisites, and the tests as root): {reason}"
            );
        };
        let host = Self { sandbox, pid };
        std::fs::create_dir(host.path(WORK)).unwrap();
        host
    }

    /// The sandbox's first process, as the test sees it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Where the test finds a path of the host. Absolute symbolic links on the way would lead outside.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let inside = path.as_ref().strip_prefix("/").expect("an absolute path");
        Path::new("/proc")
            .join(self.pid.to_string())
            .join("root")
            .join(inside)
    }

    /// The text of a file of the host.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> String {
        let path = path.as_ref();
        std::fs::read_to_string(self.path(path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A command that will run on the host, as root, in [`WORK`], without the caller's environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        // A suite that runs in the background ignores interrupts. Each process on the way would, too, and could not end as
        // its child ended.
        let mut command = Command::new("env");
        command
            .args([
                "--default-signal=INT",
                "nsenter",
                "--target",
                &self.pid.to_string(),
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                "--pid",
            ])
            .args([
                "--",
                "env",
                &format!("--chdir={WORK}"),
                "timeout",
                COMMAND_LIMIT,
            ])
            .arg(program)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .env("SANDBOX_PID", self.pid.to_string())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command on the host to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: &[A],
    ) -> Output {
        self.command(program)
            .args(arguments)
            .output()
            .unwrap()
            .into()
    }

    /// Runs armfleet, as built for this test run.
    pub(crate) fn armfleet<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Output {
        self.run(ARMFLEET, arguments)
    }

    /// Starts a command on the host, without input, and leaves it running. It begins when its process is known here: one
    /// that ended sooner could not be found.
    pub(crate) fn spawn<A: AsRef<OsStr>>(&self, program: &str, arguments: &[A]) -> Running {
        let begin = r#"echo $$; read -r _; exec "$@" </dev/null"#;
        let mut child = self
            .command("sh")
            .args(["-c", begin, "sh", program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut pid).unwrap();
        let pid = self.outer_pid(pid.trim());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        Running {
            child,
            stdout,
            stderr,
            said: String::new(),
            pid,
        }
    }

    /// A process of the host as the test numbers it.
    fn outer_pid(&self, pid: &str) -> Pid {
        let space = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/pid")).ok();
        let host = space(&self.pid.to_string());
        let is_it = |outer: &str| {
            let status = std::fs::read_to_string(format!("/proc/{outer}/status")).ok()?;
            let numbers = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))?;
            (numbers.split_whitespace().last() == Some(pid) && space(outer) == host).then_some(())
        };
        let found = std::fs::read_dir("/proc").unwrap().find_map(|entry| {
            let name = entry.unwrap().file_name().into_string().ok()?;
            is_it(&name).and_then(|()| Pid::from_raw(name.parse().ok()?))
        });
        found.expect("a process that runs")
    }

    /// Runs a command as a user who may only read from libvirt.
    pub(crate) fn run_as_nobody<A: AsRef<OsStr>>(&self, program: &str, arguments: &[A]) -> Output {
        let mut command = self.command("setpriv");
        command.args([
            "--reuid=nobody",
            "--regid=nogroup",
            "--clear-groups",
            "--",
            program,
        ]);
        command.args(arguments).output().unwrap().into()
    }

    /// Runs virsh.
    pub(crate) fn virsh<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Output {
        let mut command = self.command("virsh");
        command.args(["--quiet", "--connect", "qemu:///system"]);
        command.args(arguments).output().unwrap().into()
    }

    /// The state of a domain in virsh's words.
    pub(crate) fn state(&self, vm: &str) -> String {
        self.virsh(&["domstate", vm]).success().trim().to_owned()
    }

    /// Waits until a domain has the state.
    #[track_caller]
    pub(crate) fn wait_for_state(&self, vm: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.state(vm) != wanted {
            assert!(
                Instant::now() < deadline,
                "{vm} is {}, not {wanted}",
                self.state(vm)
            );
            sleep(Duration::from_millis(100));
        }
    }

    /// Has the test guest obey a command (see `tests/guest/init`); code 0 is done, 1 failed.
    pub(crate) fn guest_say(&self, vm: &str, command: &str) -> Output {
        self.run(script("guest-say"), &[vm, command])
    }

    /// What a VM wrote to its console since the log file of that name was made.
    pub(crate) fn console(&self, log: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(log)).unwrap()).replace('\r', "")
    }

    /// Stops libvirtd as its unit does, and starts it again.
    pub(crate) fn restart_libvirtd(&self) {
        self.run(script("libvirt"), &["restart"]).success();
    }

    /// Kills libvirtd; its VMs go on.
    pub(crate) fn kill_libvirtd(&self) {
        self.run(script("libvirt"), &["kill"]).success();
    }

    /// Starts libvirtd.
    pub(crate) fn start_libvirtd(&self) {
        self.run(script("libvirt"), &["start"]).success();
    }
}

/// A command under way on a host. Its output must fit into a pipe, as nobody reads before [`Running::wait`].
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    /// What was read of its standard error already.
    said: String,
    pid: Pid,
}

impl Running {
    /// Sends it a signal, which must find it running.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits until something is so; false if the command ends before.
    pub(crate) fn wait_until(&mut self, is_so: impl Fn() -> bool) -> bool {
        loop {
            if is_so() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return is_so();
            }
        }
    }

    /// Waits until a line of its standard error has this text, or it ends.
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        let mut read = self.said.len();
        while !self.said[read..].contains(text) {
            read = self.said.len();
            if self.stderr.read_line(&mut self.said).unwrap() == 0 {
                return;
            }
        }
    }

    /// Waits for its end; what was killed has no exit code.
    pub(crate) fn wait(mut self) -> Output {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let mut stderr = self.said;
        self.stderr.read_to_string(&mut stderr).unwrap();
        let rest: Output = self.child.wait_with_output().unwrap().into();
        Output {
            stdout,
            stderr,
            ..rest
        }
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        drop(self.sandbox.stdin.take());
        self.sandbox.wait().expect("the sandbox was started by us");
    }
}

fn first_line(stdout: ChildStdout) -> Option<String> {
    BufReader::new(stdout).lines().next()?.ok()
}
