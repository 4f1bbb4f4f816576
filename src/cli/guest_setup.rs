//! `armfleet guest-setup`

use super::exit::Exit;
use super::{GuestSetupArguments, GuestSetupFormat, terminal};
use crate::boot::{GUEST_SETUP, GUEST_SETUP_PATH};

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
  ansible.builtin.command:
    cmd: /usr/local/sbin/armfleet-guest-setup
    creates: /usr/local/sbin/armfleet-guest
"
    )
}
