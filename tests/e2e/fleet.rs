//! The recipe's VM: the fleet file that most tests begin with, and the commands that they run on it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::host::{GuestFiles, Output, TestHost, WORK};

pub(crate) const VM: &str = "armhf-vm";
pub(crate) const SHARE: &str = "/srv/armhf-vm-boot";
pub(crate) const DISK: &str = "/srv/armhf-vm.img";
pub(crate) const CONSOLE: &str = "/var/log/armhf-vm.log";
pub(crate) const RECORD: &str = "/var/lib/armfleet/vms/armhf-vm/record.json";
pub(crate) const JOURNAL: &str = "/var/lib/armfleet/journal.jsonl";
pub(crate) const SHIM: &str = "/etc/libvirt/hooks/qemu.d/50-armfleet";
pub(crate) const HOOK_BINARY: &str = "/usr/bin/armfleet-hook";

/// The fleet file of the recipe's VM, running.
pub(crate) fn recipe() -> String {
    let first = &GuestFiles::get().first;
    format!(
        "\
fleet: recipe
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    on_guest_reboot: stop
    boot:
      share: \"/srv/{{name}}-boot\"
      cmdline: console=ttyAMA0 root=/dev/vda1
      seed: {{ kernel: /srv/seed/vmlinuz-{first}, initrd: /srv/seed/initrd.img-{first} }}
    disks: [{{ path: \"/srv/{{name}}.img\", size: 64MiB }}]
    console: {{ log: {CONSOLE} }}
"
    )
}

/// The same VM, which shall not run.
pub(crate) fn stopped_recipe() -> String {
    recipe() + "    state: stopped\n"
}

/// A second VM for the end of a fleet file, which shall not run.
pub(crate) fn second_vm(name: &str) -> String {
    let vm = stopped_recipe().replace(VM, name);
    vm.split_once("vms:\n").unwrap().1.to_owned()
}

impl TestHost {
    /// A host with the seed's files and this fleet file.
    pub(crate) fn with_fleet(text: &str) -> Self {
        let host = Self::start();
        let (files, folder) = (GuestFiles::get(), host.path("/srv/seed"));
        std::fs::create_dir(&folder).unwrap();
        for file in [files.kernel(&files.first), files.initrd(&files.first)] {
            std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
        host.write_fleet(text);
        host
    }

    /// A host where this fleet file is applied.
    pub(crate) fn with_applied(text: &str) -> Self {
        let host = Self::with_fleet(text);
        host.apply().success();
        host
    }

    /// Changes the fleet file.
    pub(crate) fn write_fleet(&self, text: &str) {
        self.write(Path::new(WORK).join("fleet.yaml"), text);
    }

    /// Writes a file of the host.
    pub(crate) fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(path), bytes).unwrap();
    }

    /// `armfleet apply` with nobody to ask.
    pub(crate) fn apply(&self) -> Output {
        self.armfleet(&["apply", "--auto-approve"])
    }

    /// `armfleet plan`, whose exit code tells whether there are changes.
    pub(crate) fn plan(&self) -> Output {
        self.armfleet(&["plan", "--detailed-exitcode"])
    }

    /// What the plan says below its headline; it must end with this code.
    #[track_caller]
    pub(crate) fn planned(&self, code: i32) -> String {
        below_headline(self.plan(), code)
    }

    /// The host is as the fleet file says, and there is nothing else to say.
    #[track_caller]
    pub(crate) fn assert_converged(&self) {
        assert_eq!(self.planned(0), "No changes.\n");
    }

    /// The definition of a domain with all it holds, secrets included.
    pub(crate) fn definition(&self, domain: &str) -> String {
        self.virsh(&["dumpxml", "--inactive", "--security-info", domain])
            .success()
    }

    /// Redefines a domain, or defines another, by hand.
    pub(crate) fn define(&self, xml: &str) {
        let file = Path::new(WORK).join("domain.xml");
        self.write(&file, xml);
        self.virsh(&["define", file.to_str().unwrap()]).success();
    }

    /// Has the guest of the recipe's VM do something, which must work.
    #[track_caller]
    pub(crate) fn guest(&self, command: &str) -> String {
        self.guest_say(VM, command).success()
    }

    /// The guest of the recipe's VM reports exactly this line.
    #[track_caller]
    pub(crate) fn assert_reported(&self, report: &str, line: &str) {
        let wanted = format!("guest: {line}");
        assert!(
            report.lines().any(|reported| reported == wanted),
            "no `{wanted}` in\n{report}"
        );
    }

    /// Stops the recipe's VM by its power key, as often as its guest needs to notice.
    #[track_caller]
    pub(crate) fn shut_down(&self) {
        self.shut_down_vm(VM);
    }

    /// Stops any VM so.
    #[track_caller]
    pub(crate) fn shut_down_vm(&self, vm: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.state(vm) != "shut off" {
            assert!(Instant::now() < deadline, "{vm} does not stop");
            // It may have stopped since.
            self.virsh(&["shutdown", vm]);
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Every file below some folders, with all that a change would show in.
    pub(crate) fn listing(&self, folders: &[&str]) -> String {
        let format = "%p %y %l %m %U:%G %n %s %i %T@ %C@\n";
        let mut arguments = folders.to_vec();
        arguments.extend(["-printf", format]);
        let listed = self.run("find", &arguments).success();
        let mut lines: Vec<&str> = listed.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    }
}

/// Standard output of a plan below its headline; it must have ended with this code and said nothing else.
#[track_caller]
pub(crate) fn below_headline(plan: Output, code: i32) -> String {
    assert_eq!(
        (plan.code, plan.stderr.as_str()),
        (Some(code), ""),
        "{}",
        plan.stdout
    );
    let (headline, rest) = plan.stdout.split_once("\n\n").unwrap();
    assert!(
        headline.starts_with("fleet ") && headline.contains(" · host local · libvirt "),
        "{headline}"
    );
    rest.to_owned()
}
