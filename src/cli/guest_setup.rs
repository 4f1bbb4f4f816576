//! `armfleet guest-setup`

use super::exit::Exit;
use super::terminal;
use crate::boot::{GUEST_SETUP, GUEST_SETUP_PATH};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct GuestSetupArguments {
    /// For whom
    #[arg(long, value_enum, default_value_t)]
    format: GuestSetupFormat,
    /// Only what installs this kernel in an armhf guest: its VM then takes `arch: arm64` with `userland: armhf`, or
    /// `arch: armhf` again
    #[arg(long, value_enum, conflicts_with = "format")]
    kernel: Option<GuestKernel>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum GuestKernel {
    /// Debian's arm64 kernel, by multiarch
    Arm64,
    /// Debian's armhf kernel
    Armhf,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(super) enum GuestSetupFormat {
    /// A script to be run in the guest
    #[default]
    Shell,
    /// The late command for the Debian installer, which runs the script
    Preseed,
    /// Ansible tasks for a guest that runs
    Ansible,
}

pub(super) fn run(arguments: &GuestSetupArguments) -> Result<Exit, Exit> {
    if let Some(kernel) = arguments.kernel {
        terminal::result(with_kernel(kernel));
        return Ok(Exit::Success);
    }
    terminal::result(&match arguments.format {
        GuestSetupFormat::Shell => GUEST_SETUP.to_owned(),
        GuestSetupFormat::Preseed => preseed(),
        GuestSetupFormat::Ansible => ansible(),
    });
    Ok(Exit::Success)
}

/// What a guest runs to get the other kernel into its share.
const fn with_kernel(kernel: GuestKernel) -> &'static str {
    match kernel {
        GuestKernel::Arm64 => {
            "\
# In the armhf guest, as root. Its /boot is on the share already: otherwise run `armfleet guest-setup` there first.
# Not linux-image-cloud-arm64, which has no 9p and so no /boot; and none with pages of 16 or 64 KiB, such as
# linux-image-arm64-16k, which run no 32-bit programs. What it recommends would come as arm64, too.
set -eu
dpkg --add-architecture arm64
apt-get update
apt-get install --yes --no-install-recommends linux-image-arm64:arm64
sync

# Then `arch: arm64` and `userland: armhf` in the fleet file. Under this kernel `uname -m` says aarch64; what looks at it,
# such as a build for armhf, runs with `linux32 COMMAND` (of util-linux), and sees armv8l.
"
        }
        GuestKernel::Armhf => {
            "\
# In the armhf guest, as root. It finds its disk with virtio-mmio and on PCI; linux-image-armmp does with virtio-mmio only.
set -eu
apt-get update
apt-get install --yes --no-install-recommends linux-image-armmp-lpae:armhf
sync

# Then `arch: armhf` in the fleet file, without `userland`.
"
        }
    }
}

/// What the Debian installer's preseed file needs.
fn preseed() -> String {
    format!(
        "\
# At the end of the installation the new system's kernel goes to the boot share. The script comes with the initrd: write
# it with `armfleet guest-setup >guest-setup`, and name it in the fleet file, under the VM's `install`:
#   files: {{ {GUEST_SETUP_PATH}: guest-setup, … }}
d-i preseed/late_command string cp {GUEST_SETUP_PATH} /target/run/guest-setup && in-target sh /run/guest-setup --installed
"
    )
}

/// The same for a guest that runs, as Ansible tasks.
fn ansible() -> String {
    let indented: String = GUEST_SETUP
        .lines()
        .map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("      {line}\n"),
        })
        .collect();
    format!(
        "\
- name: what keeps the kernels where the host looks for them
  ansible.builtin.copy:
    dest: /usr/local/sbin/armfleet-guest-setup
    mode: \"0755\"
    content: |
{indented}
- name: /boot on its share, the links in it, and the sign of life
  ansible.builtin.command: /usr/local/sbin/armfleet-guest-setup
  register: armfleet_guest_setup
  changed_when: \"'guest-setup: done' in armfleet_guest_setup.stdout\"
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_yaml::Value;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    #[test]
    fn shells_understand_the_scripts() {
        let scripts = [
            GUEST_SETUP,
            with_kernel(GuestKernel::Arm64),
            with_kernel(GuestKernel::Armhf),
        ];
        for (shell, script) in ["sh", "bash"]
            .into_iter()
            .flat_map(|shell| scripts.map(|script| (shell, script)))
        {
            let mut check = Command::new(shell)
                .arg("-n")
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = check.stdin.take().unwrap();
            stdin.write_all(script.as_bytes()).unwrap();
            drop(stdin);
            assert!(check.wait().unwrap().success(), "{shell}: {script}");
        }
    }

    #[test]
    fn the_tasks_carry_the_very_script() {
        let tasks: Vec<Value> = serde_yaml::from_str(&ansible()).unwrap();
        let copy = &tasks[0]["ansible.builtin.copy"];
        assert_eq!(copy["content"].as_str(), Some(GUEST_SETUP));
        assert_eq!(tasks[1]["ansible.builtin.command"], copy["dest"]);
        assert_eq!(tasks.len(), 2);
        // Ansible takes these for its own.
        for sign in ["{{", "{%", "{#"] {
            assert!(!GUEST_SETUP.contains(sign), "{sign}");
        }
    }

    /// Such a line goes on nowhere, and debconf takes it whole.
    #[test]
    fn the_late_command_is_one_line() {
        let text = preseed();
        let late: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        assert_eq!(late.len(), 1);
        assert!(late[0].starts_with("d-i preseed/late_command string cp "));
        assert!(!late[0].ends_with('\\'));
    }
}
