//! Debian's own installer, with the example's fleet file and preseed file as they are. The test's mirror has no packages for it,
//! so it ends where it would fetch the rest of itself; the test guest plays what comes after that (`install.rs`).

use crate::first_kernel::prepare_installer;
use crate::fleet::VM;
use crate::host::TestHost;
use crate::install::PRESEED;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The example's fleet file.
const FLEET: &str = include_str!("../../examples/debian-armhf/fleet.yaml");
/// The mirror, and how the guest reaches it: what listens on the host's loopback is at this address of QEMU's own network.
const PORT: &str = "8099";
const MIRROR: &str = "10.0.2.2:8099";
/// What was asked of the mirror.
const REQUESTS: &str = "/run/test/requests";
const CONSOLE: &str = "/var/log/armhf-vm.log";
/// What the installer fetches when locale, keyboard, network and mirror are settled: whose signature is below the mirror's index,
/// before it fetches the rest of itself.
const NEXT: &str = "/debian/dists/bookworm/Release.gpg debian-installer\n";
/// How the installer asks on a console that is a log of lines.
const QUESTION: &str = "Prompt: ";

fn with_installer() -> TestHost {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = Path::new(root).join("target/debian-installer");
    let fetched = Command::new(format!("{root}/tests/guest/debian-installer"))
        .arg(&folder)
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{why}");
    let host = TestHost::with_fleet(FLEET);
    host.write("/run/test/preseed.cfg", PRESEED);
    prepare_installer(&host, &folder);
    let preseed = host.read("/run/test/preseed.cfg");
    assert!(preseed.contains(" YOUR-MIRROR\n"), "{preseed}");
    host.write(
        "/run/test/preseed.cfg",
        preseed.replace("YOUR-MIRROR", MIRROR),
    );
    host
}

#[test]
#[ignore = "long: the installer takes minutes under emulation"]
fn the_installer_asks_nothing_until_it_fetches_from_the_mirror() {
    let host = with_installer();
    let mirror = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/mirror.py");
    host.write(REQUESTS, "");
    let _mirror = host.spawn("python3", &[mirror, PORT, REQUESTS]);
    host.apply().success();
    let deadline = Instant::now() + Duration::from_secs(600);
    while !host.read(REQUESTS).contains(NEXT) {
        let (asked, console) = (host.read(REQUESTS), host.console(CONSOLE));
        assert!(!console.contains(QUESTION), "{asked}\n{console}");
        assert!(Instant::now() < deadline, "{asked}\n{console}");
        sleep(Duration::from_millis(500));
    }
    let waited = host.armfleet(&["apply", "--auto-approve", "--wait", "--wait-timeout", "1s"]);
    assert_eq!(waited.code, Some(1), "{waited:?}");
    // On a busy machine it is more than the second.
    let told = format!(
        "s: {VM}\n  -> the installation goes on; armfleet apply --wait follows it again; \
         armfleet console {VM}\n  {VM}: its console, "
    );
    assert!(waited.stderr.contains(&told), "{}", waited.stderr);
}
