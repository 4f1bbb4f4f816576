//! What is published: the crate, and Debian's package in a Debian 12 of its own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
/// No service starts in it.
const POLICY: &str = "#!/bin/sh\nexit 101\n";

/// The program, what its users read, and no test; each file with a name that every system can write.
#[test]
fn the_crate_has_what_it_is_built_of() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["package", "--list", "--offline", "--allow-dirty"])
        .current_dir(REPOSITORY);
    let listed = done(&cargo.output().unwrap());
    for needed in [
        "src/main.rs",
        "src/boot/shim.sh",
        "README.md",
        "LICENSE-APACHE",
    ] {
        assert!(listed.lines().any(|file| file == needed), "{needed}");
    }
    for file in listed.lines() {
        assert!(!file.starts_with("tests/"), "{file}");
        let reserved = ["con", "prn", "aux", "nul"];
        let mut names = file.split('/').filter_map(|name| name.split('.').next());
        assert!(!names.any(|name| reserved.contains(&name)), "{file}");
    }
}

/// A Debian 12 with nothing but what every Debian has.
struct Debian {
    root: tempfile::TempDir,
}

impl Debian {
    fn new() -> Self {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut debootstrap = Command::new("debootstrap");
        debootstrap
            .args(["--variant=minbase", "bookworm"])
            .arg(root.path())
            .arg(mirror());
        done(&debootstrap.output().expect("debootstrap is there"));
        let debian = Self { root };
        debian.put("/usr/sbin/policy-rc.d", POLICY);
        debian.sh("chmod 0755 /usr/sbin/policy-rc.d");
        debian
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// What a shell in it does, as root, with processes and mounts of its own.
    fn try_sh(&self, script: &str) -> Output {
        let root = self.root.path().display();
        let enter = format!(
            "mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && exec chroot {root} /bin/sh -ec \"$1\""
        );
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
            .args([&enter, "sh", script])
            .env_clear()
            .envs([
                ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                ("LC_ALL", "C"),
                ("DEBIAN_FRONTEND", "noninteractive"),
            ]);
        unshare.output().unwrap()
    }

    fn sh(&self, script: &str) -> String {
        done(&self.try_sh(script))
    }

    /// Has apt install a package of these, with what it depends on.
    fn install(&self, package: &Path, options: &str) -> String {
        fs::copy(package, self.path("/tmp/armfleet.deb")).unwrap();
        self.sh(&format!(
            "apt-get install -qq --no-install-recommends {options} /tmp/armfleet.deb 2>&1"
        ))
    }
}

/// Where this machine has Debian 12 from.
fn mirror() -> String {
    let mut apt = Command::new("apt-get");
    let apt = apt.args(["indextargets", "--format", "$(REPO_URI)"]);
    let apt = apt.args([
        "Codename: bookworm",
        "Component: main",
        "Created-By: Packages",
    ]);
    let listed = done(&apt.output().unwrap());
    let first = listed.lines().next();
    first
        .expect("apt knows a mirror of Debian 12; apt-get update")
        .to_owned()
}

fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out
}

/// The package as `examples/package/build` makes it.
fn built() -> PathBuf {
    let build = Path::new(REPOSITORY).join("examples/package/build");
    let out = done(&Command::new(build).output().unwrap());
    let made = out.lines().rfind(|line| line.ends_with(".deb"));
    PathBuf::from(made.expect("the last line names the package"))
}

/// The same package with an earlier version's number.
fn earlier(package: &Path, folder: &Path) -> PathBuf {
    let (unpacked, made) = (folder.join("earlier"), folder.join("earlier.deb"));
    let dpkg_deb = |arguments: &[&Path], options: &[&str]| {
        let mut command = Command::new("dpkg-deb");
        done(&command.args(options).args(arguments).output().unwrap());
    };
    dpkg_deb(&[package, &unpacked], &["--raw-extract"]);
    let control = unpacked.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    let version = text.lines().find(|line| line.starts_with("Version: "));
    let text = text.replace(version.unwrap(), "Version: 0.0.9-1");
    fs::write(&control, text).unwrap();
    dpkg_deb(&[&unpacked, &made], &["--build", "--root-owner-group"]);
    made
}

/// What an earlier release left on a host, with its VMs' disks and shares.
fn lay_state(debian: &Debian) {
    let archive = Path::new(REPOSITORY).join("tests/releases/0.1.0/tree.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(debian.path("/"));
    done(&tar.output().unwrap());
}

/// Every file of armfleet's state and of the guests, with its bytes.
fn kept(debian: &Debian) -> String {
    debian.sh("find /var/lib/armfleet /etc/libvirt/hooks /srv ! -type d -print0 | sort -z | xargs -0 ls -ln --time-style=+ ; \
        find /var/lib/armfleet /etc/libvirt/hooks /srv -type f -print0 | sort -z | xargs -0 sha256sum")
}

#[test]
#[ignore = "minutes: builds a release, its package and a Debian to install it in"]
fn the_package_is_installed_upgraded_and_purged() {
    let package = built();
    let debian = Debian::new();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let older = earlier(&package, folder.path());

    debian.sh("apt-get update -qq");
    debian.install(&older, "");
    for command in ["armfleet --version", "armfleet-hook --version"] {
        assert!(debian.sh(command).starts_with("armfleet"), "{command}");
    }
    brings_what_it_should(&debian);
    nothing_is_enabled(&debian);
    first_steps(&debian);

    lay_state(&debian);
    let before = kept(&debian);
    let said = debian.install(&package, "");
    assert!(said.contains("the next apply of each fleet brings the hook"));
    assert_eq!(kept(&debian), before);
    nothing_is_enabled(&debian);
    let history = debian.sh("armfleet history");
    assert!(history.contains("own"), "{history}");

    // Back to the earlier one, and forward again.
    debian.install(&older, "--allow-downgrades");
    assert_eq!(kept(&debian), before);
    debian.install(&package, "");

    debian.sh("apt-get remove -qq armfleet 2>&1");
    assert_eq!(kept(&debian), before);
    let said = debian.sh("apt-get purge -qq armfleet 2>&1");
    assert!(
        said.contains("/var/lib/armfleet stays: its VMs boot from there"),
        "{said}"
    );
    assert_eq!(kept(&debian), before);
    let left = debian.sh("find /usr /etc -name '*armfleet*' ! -path '/etc/libvirt/hooks/*'");
    assert_eq!(left, "");

    a_purge_without_vms(&debian, &package);
}

/// Without a VM, nothing is left but what armfleet does not know.
fn a_purge_without_vms(debian: &Debian, package: &Path) {
    debian.install(package, "");
    debian.sh("rm -r /var/lib/armfleet/vms");
    debian.put("/var/lib/armfleet/images/mine.img", "a disk");
    let guests = debian.sh("find /srv -type f -print0 | sort -z | xargs -0 sha256sum");
    debian.sh("apt-get purge -qq armfleet 2>&1");
    let left = debian.sh("find /var/lib/armfleet /etc/libvirt/hooks ! -type d");
    assert_eq!(left, "/var/lib/armfleet/images/mine.img\n");
    let after = debian.sh("find /srv -type f -print0 | sort -z | xargs -0 sha256sum");
    assert_eq!(after, guests);
}

fn brings_what_it_should(debian: &Debian) {
    for path in [
        "/usr/share/man/man1/armfleet.1.gz",
        "/usr/share/man/man1/armfleet-plan.1.gz",
        "/usr/share/man/man5/armfleet.yaml.5.gz",
        "/usr/share/bash-completion/completions/armfleet",
        "/usr/share/armfleet/fleet.schema.json",
        "/usr/share/doc/armfleet/copyright",
        "/usr/lib/systemd/system/armfleet-watch.service",
        "/usr/lib/systemd/system/armfleet-drift.timer",
    ] {
        // dpkg leaves the documentation out where it is told to; here it is not.
        assert!(debian.path(path).exists(), "{path}");
    }
    let libraries = debian
        .sh("apt-cache depends armfleet | grep libvirt0 || dpkg-query -W -f '${Depends}' armfleet");
    assert!(libraries.contains("libvirt0"), "{libraries}");
}

fn nothing_is_enabled(debian: &Debian) {
    let enabled = debian.sh("find /etc/systemd -name '*armfleet*'");
    assert_eq!(enabled, "", "no unit is enabled");
}

/// What somebody does who has just installed it: without a libvirtd that runs, `plan` says what to do.
fn first_steps(debian: &Debian) {
    debian.sh("cd /root && armfleet init && armfleet validate");
    let plan = debian.try_sh("cd /root && armfleet plan");
    let said = String::from_utf8_lossy(&plan.stderr).into_owned();
    assert_eq!(plan.status.code(), Some(1), "{said}");
    assert!(said.contains("libvirt"), "{said}");
    debian.sh("rm /root/fleet.yaml");
}
