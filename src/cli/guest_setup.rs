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
    terminal::result(&match arguments.format {
        GuestSetupFormat::Shell => GUEST_SETUP.to_owned(),
        GuestSetupFormat::Preseed => preseed(),
        GuestSetupFormat::Ansible => ansible(),
    });
    Ok(Exit::Success)
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
  changed_when: armfleet_guest_setup.stdout | length > 0
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
    fn shells_understand_the_script() {
        for shell in ["sh", "bash"] {
            let mut check = Command::new(shell)
                .arg("-n")
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = check.stdin.take().unwrap();
            stdin.write_all(GUEST_SETUP.as_bytes()).unwrap();
            drop(stdin);
            assert!(check.wait().unwrap().success(), "{shell}");
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
