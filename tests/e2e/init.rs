//! `armfleet init` on a real host: what it writes is valid and plans there, and what it tells of the host is so.

use crate::host::TestHost;

#[test]
fn a_starter_plans_and_applies_on_a_real_host() {
    let host = TestHost::start();
    host.armfleet(&["init", "mine.yaml"]).success();
    host.armfleet(&["validate", "mine.yaml"]).success();
    let plan = host.armfleet(&["plan", "mine.yaml", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(2), "{}{}", plan.stdout, plan.stderr);
    assert!(
        plan.stdout.contains("+ domain    armhf-vm"),
        "{}",
        plan.stdout
    );
    assert!(!plan.stdout.contains(" ! "), "{}", plan.stdout);
    host.armfleet(&["apply", "mine.yaml", "--auto-approve"])
        .success();
    let again = host
        .armfleet(&["plan", "mine.yaml", "--detailed-exitcode"])
        .success();
    assert!(again.contains("No changes."), "{again}");
}

#[test]
fn what_the_host_offers_is_told() {
    let host = TestHost::start();
    let bridge = ["link", "add", "br-lan", "type", "bridge"];
    host.run("ip", &bridge).success();
    host.armfleet(&["init", "--from-host"]).success();
    let text = host.read(std::path::Path::new(crate::host::WORK).join("fleet.yaml"));
    let (_, told) = text.split_once("# What this host offers, ").unwrap();
    let line = |label: &str| {
        let label = format!("#   {label} ");
        let line = told.lines().find_map(|line| line.strip_prefix(&label));
        line.unwrap_or_else(|| panic!("no {label} in {told}"))
            .trim()
    };
    assert!(line("armhf guests").starts_with("emulated only"), "{told}");
    assert!(line("arm64 guests").len() > 10, "{told}");
    assert!(line("networks").len() > 3, "{told}");
    assert!(told.contains("br-lan"), "{told}");
    host.armfleet(&["validate"]).success();
    let refused = host.armfleet(&["init", "--from-host"]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
}
