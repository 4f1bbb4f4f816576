//! `armfleet init`

use super::exit::Exit;
use super::local::reads;
use super::terminal;
use crate::host::system::HostCapabilities;
use crate::inventory::{Kvm, Libvirt, RawNetwork};
use crate::values::Arch;
use clap::Args;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The file that a user begins with.
const STARTER: &str = include_str!("starter.yaml");

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The fleet file to write; there must be no such file yet
    #[arg(default_value = "fleet.yaml")]
    file: PathBuf,
    /// Add comments about what this host offers: KVM, networks, bridges
    #[arg(long)]
    from_host: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let mut text = STARTER.to_owned();
    if arguments.from_host {
        let capabilities = reads()?.host_capabilities().map_err(|error| {
            terminal::error(&Unseen(error), None);
            Exit::Failed
        })?;
        let libvirt = Libvirt::read(&capabilities.libvirt).map_err(|error| {
            terminal::error(&Unreadable(error), None);
            Exit::Failed
        })?;
        text += &comments(&capabilities, &libvirt);
    }
    let file = arguments.file.display();
    write_new(&arguments.file, &text).map_err(|error| failed(&arguments.file, error))?;
    terminal::result(&format!(
        "wrote {file}: edit it, then run armfleet plan {file}\n"
    ));
    Ok(Exit::Success)
}

/// Writes a file whole or not at all, and only where nothing has that name.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        // That it could not be written is the error worth telling.
        let _ = fs::remove_file(path);
    })
}

fn failed(path: &Path, source: io::Error) -> Exit {
    let (exit, remedy) = match source.kind() {
        ErrorKind::AlreadyExists => (
            Exit::Refused,
            Some("nothing was written; name another file, or move that one away"),
        ),
        ErrorKind::NotFound => (Exit::Failed, Some("make its folder first")),
        _ => (Exit::Failed, None),
    };
    let path = path.display().to_string();
    terminal::error(&Unwritable { path, source }, remedy);
    exit
}

/// What a host offers, as comments of a fleet file.
fn comments(capabilities: &HostCapabilities, libvirt: &Libvirt) -> String {
    let mut lines = vec![
        String::new(),
        format!(
            "What this host offers, seen with libvirt {}:",
            libvirt.version_text()
        ),
        String::new(),
    ];
    lines.extend(Arch::ALL.map(|arch| {
        let label = format!("{arch} guests");
        format!("  {label:12}  {}", guests(libvirt, arch))
    }));
    lines.extend(listed(
        "networks",
        capabilities.networks.iter().map(network),
    ));
    lines.extend(listed("bridges", capabilities.bridges.iter().cloned()));
    let lines = lines.iter().map(|line| format!("# {line}"));
    let lines = lines.map(|line| format!("{}\n", line.trim_end()));
    format!("\n{}", lines.skip(1).collect::<String>())
}

fn guests(libvirt: &Libvirt, arch: Arch) -> &'static str {
    if !libvirt.guests.contains_key(arch.libvirt) {
        return "none: QEMU's system emulator for ARM is not installed (qemu-system-arm)";
    }
    match libvirt.kvm_of(arch, arch) {
        Kvm::Runs => "with KVM (accel: kvm), or emulated (accel: tcg)",
        Kvm::NotOffered => "emulated only (accel: tcg): this host has no KVM for them",
        Kvm::ProgramsOnly => {
            "emulated (accel: tcg), or with KVM under an arm64 kernel (arch: arm64, userland: armhf)"
        }
        Kvm::NoBits32 => "emulated only (accel: tcg): this host's processor has no 32-bit mode",
        Kvm::Unknown(_) | Kvm::NotAsked => {
            "emulated (accel: tcg); whether KVM runs them could not be seen"
        }
    }
}

fn network(network: &RawNetwork) -> String {
    let bridge = network.bridge.as_ref();
    let bridge = bridge.map_or(String::new(), |bridge| format!(" (bridge {bridge})"));
    let state = if network.active { "" } else { ", not started" };
    format!("{}{bridge}{state}", network.name)
}

/// One line for each, the first beside the label.
fn listed(label: &str, entries: impl Iterator<Item = String>) -> Vec<String> {
    let mut entries: Vec<String> = entries.collect();
    if entries.is_empty() {
        entries.push("none".to_owned());
    }
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    let lines = labels.zip(entries);
    lines
        .map(|(label, entry)| format!("  {label:12}  {entry}"))
        .collect()
}

#[derive(Debug, thiserror::Error)]
#[error("what the host offers could not be read")]
struct Unseen(#[source] crate::host::primitives::CallError);

#[derive(Debug, thiserror::Error)]
#[error("libvirt's capabilities could not be read")]
struct Unreadable(#[source] crate::xml::XmlError);

#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
struct Unwritable {
    path: String,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::fleet::read_fleet;
    use crate::inventory::RawLibvirt;

    fn offer(capabilities: &str) -> (HostCapabilities, Libvirt) {
        let libvirt = RawLibvirt {
            version: 9_000_000,
            capabilities: capabilities.to_owned(),
            bits32: None,
        };
        let seen = Libvirt::read(&libvirt).unwrap();
        let networks = vec![
            RawNetwork {
                name: "default".to_owned(),
                bridge: Some("virbr0".to_owned()),
                active: false,
                autostart: true,
                openvswitch: false,
            },
            RawNetwork {
                name: "lan".to_owned(),
                bridge: None,
                active: true,
                autostart: true,
                openvswitch: false,
            },
        ];
        let bridges = vec!["br0".to_owned()];
        (
            HostCapabilities {
                libvirt,
                networks,
                bridges,
            },
            seen,
        )
    }

    #[test]
    fn what_a_host_offers_is_told_in_comments() {
        let (capabilities, libvirt) = offer(
            "<capabilities><guest><arch name='armv7l'><domain type='qemu'/></arch></guest></capabilities>",
        );
        let comments = comments(&capabilities, &libvirt);
        snapbox::assert_data_eq!(
            comments.as_str(),
            snapbox::str![[r#"

# What this host offers, seen with libvirt 9.0.0:
#
#   armhf guests  emulated only (accel: tcg): this host has no KVM for them
#   arm64 guests  none: QEMU's system emulator for ARM is not installed (qemu-system-arm)
#   networks      default (bridge virbr0), not started
#                 lan
#   bridges       br0

"#]]
        );
        let text = format!("{STARTER}{comments}");
        assert_eq!(
            read_fleet(text.as_bytes(), "fleet.yaml", "/"),
            read_fleet(STARTER.as_bytes(), "fleet.yaml", "/")
        );
    }

    #[test]
    fn a_host_that_offers_nothing_says_so() {
        let (capabilities, libvirt) = offer("<capabilities/>");
        let empty = HostCapabilities {
            networks: Vec::new(),
            bridges: Vec::new(),
            ..capabilities
        };
        let comments = comments(&empty, &libvirt);
        assert!(comments.contains("armhf guests  none"), "{comments}");
        assert!(comments.contains("bridges       none"), "{comments}");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.yaml");
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        let error = write_new(&path, STARTER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
        write_new(&path, STARTER).unwrap();
        let error = write_new(&path, "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), STARTER);
    }
}
