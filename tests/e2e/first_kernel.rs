//! README's ways to a first kernel, by its own commands.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::host::{ARMFLEET, GuestFiles, TestHost, WORK};

const README: &str = include_str!("../../README.md");

/// What README says about one way: its blocks of a language.
fn blocks(way: &str, language: &str) -> Vec<String> {
    let (_, section) = README.split_once("### Its first kernel\n").unwrap();
    let (_, text) = section.split_once(&format!("**{way}**")).unwrap();
    let text = text.split("\n**").next().unwrap();
    let fence = format!("```{language}\n");
    let begun = text.split(&fence).skip(1);
    let blocks = begun.map(|rest| rest.split_once("```").unwrap().0.to_owned());
    blocks.collect()
}

/// The commands of a way. No terminal asks the test for its yes.
pub(crate) fn commands(way: &str) -> String {
    let commands = blocks(way, "sh").pop().unwrap();
    commands.replace("armfleet apply", "armfleet apply --auto-approve")
}

/// Has a shell on the host find armfleet, and these programs, each a script.
pub(crate) fn with_programs(host: &TestHost, scripts: &[(&str, &str)]) {
    let armfleet = format!("#!/bin/sh\nexec {ARMFLEET} \"$@\"\n");
    host.run("mkdir", &["-p", "/run/test-bin"]).success();
    for (name, script) in [("armfleet", armfleet.as_str())].iter().chain(scripts) {
        let path = format!("/run/test-bin/{name}");
        host.write(&path, script);
        host.run("chmod", &["0755", &path]).success();
    }
}

/// Runs a line of them; how it ends.
pub(crate) fn run(host: &TestHost, line: &str) -> Option<i32> {
    let script = format!(
        "PATH=/run/test-bin:$PATH LIBGUESTFS_BACKEND_SETTINGS=force_tcg; export PATH LIBGUESTFS_BACKEND_SETTINGS\n{line}"
    );
    let ended = host.run("sh", &["-ec", &script]);
    println!("{line}\n{}{}", ended.stdout, ended.stderr);
    ended.code
}

/// An image with a system, as far as its kernel: one file system, with the pair in /boot.
fn lay_image(image: &Path) {
    let (files, folder) = (GuestFiles::get(), tempfile::tempdir().unwrap());
    let boot = folder.path().join("boot");
    fs::create_dir(&boot).unwrap();
    for file in [files.kernel(&files.first), files.initrd(&files.first)] {
        fs::copy(&file, boot.join(file.file_name().unwrap())).unwrap();
    }
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-d"]).arg(folder.path());
    assert!(mke2fs.arg(image).arg("64M").status().unwrap().success());
}

#[test]
#[ignore = "long: libguestfs starts a VM of its own"]
fn a_guest_out_of_a_base_image_boots_the_images_own_kernel() {
    let host = TestHost::with_fleet(&blocks("A base image", "yaml").concat());
    host.run("mkdir", &["/srv/base"]).success();
    lay_image(&host.path("/srv/base/worker.img"));
    with_programs(&host, &[]);
    let commands = commands("A base image");
    let ended: Vec<_> = commands.lines().map(|line| run(&host, line)).collect();
    assert_eq!(ended, [Some(3), Some(0), Some(0)]);
    assert_eq!(host.state("worker-01"), "running");
    let first = &GuestFiles::get().first;
    let status = host.armfleet(&["status"]).stdout;
    assert!(status.contains(first.as_str()), "{status}");
    let planned = host.planned(0);
    assert!(planned.ends_with("\nNo changes.\n"), "{planned}");
}

/// The commands make a system of this machine's own architecture here: not every machine runs programs for armhf. The kernel
/// in it is named as what it is by whoever is asked to boot it.
#[test]
#[ignore = "long: debootstrap fetches and sets up a system"]
fn debootstrap_makes_an_image_that_a_kernel_is_found_in() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let base = folder.path().display().to_string();
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let processor = output("dpkg", &["--print-architecture"]);
    let listed = output(
        "apt-get",
        &[
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Codename: bookworm",
            "Component: main",
            "Created-By: Packages",
        ],
    );
    let commands = commands("debootstrap")
        .replace("apt-get install debootstrap\n", "")
        .replace("/srv/base", &base)
        .replace("armhf", &processor)
        .replace(
            "linux-image-armmp",
            &format!("linux-image-cloud-{processor}"),
        )
        .replace(
            &format!("bookworm {base}/root"),
            &format!("bookworm {base}/root {}", listed.lines().next().unwrap()),
        )
        .replace("passwd root", "passwd --delete root");
    // The mounts end with the commands.
    let mut shell = Command::new("unshare");
    let made = shell
        .args(["--mount", "sh", "-exc", &commands])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(
        made.status.success(),
        "{}{said}",
        String::from_utf8_lossy(&made.stdout)
    );

    let host = TestHost::with_fleet(&blocks("A base image", "yaml").concat());
    host.run("mkdir", &["/srv/base"]).success();
    fs::rename(
        folder.path().join("worker.img"),
        host.path("/srv/base/worker.img"),
    )
    .or_else(|_| {
        let (from, to) = (
            folder.path().join("worker.img"),
            host.path("/srv/base/worker.img"),
        );
        fs::copy(from, to).map(drop)
    })
    .unwrap();
    with_programs(&host, &[]);
    assert_eq!(run(&host, "armfleet apply --auto-approve"), Some(3));
    let extracted = host.run(
        "env",
        &[
            "LIBGUESTFS_BACKEND_SETTINGS=force_tcg",
            ARMFLEET,
            "boot",
            "extract",
            "worker-01",
        ],
    );
    assert_eq!(extracted.code, Some(1), "{extracted:?}");
    let what_it_is = format!("-cloud-{processor} is a kernel for ");
    assert!(
        extracted.stderr.contains(&what_it_is),
        "{}",
        extracted.stderr
    );
}

/// The files of Debian's installer where README's commands put them: in the folder of the fleet file.
pub(crate) fn prepare_installer(host: &TestHost, packages: &Path) {
    let name = "debian-installer-12-netboot-armhf";
    let entries = fs::read_dir(packages).unwrap();
    let package = entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|suffix| suffix == "deb"))
        .unwrap();
    fs::copy(&package, host.path("/run/test-package.deb")).unwrap();
    // The host of a test has no network.
    let download = format!(
        "#!/bin/sh\n[ \"$1 $2\" = 'download {name}' ] && cp /run/test-package.deb {name}_1_all.deb\n"
    );
    with_programs(host, &[("apt-get", &download)]);
    let commands = commands("Debian's installer");
    let (before, apply) = commands.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(apply, "armfleet apply --auto-approve --wait");
    assert_eq!(run(host, &format!("cd {WORK}\n{before}")), Some(0));
}
