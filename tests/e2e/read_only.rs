//! A plan changes nothing, and needs no right to.

use snapbox::assert_data_eq;

use crate::fleet::{below_headline, recipe, stopped_recipe};
use crate::host::{ARMFLEET, Output, TestHost};

/// Where armfleet writes; the last two are there from the first apply on.
const FOLDERS: [&str; 5] = [
    "/srv",
    "/etc/libvirt",
    "/run/test",
    "/run/armfleet",
    "/var/lib/armfleet",
];

/// Runs a command as nobody, who may read every file and write none.
fn run_as_reader(host: &TestHost, arguments: &[&str]) -> Output {
    let mut command = host.command("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .args([
            "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=-all,+dac_read_search",
        ])
        .args(["--bounding-set=-all,+dac_read_search", "--", ARMFLEET])
        .args(arguments);
    command.output().unwrap().into()
}

#[test]
fn who_may_read_everything_and_write_nothing_gets_the_whole_plan() {
    let host = TestHost::with_fleet(&stopped_recipe());
    let socket = host
        .run("stat", &["-c", "%a %U", "/run/libvirt/libvirt-sock"])
        .success();
    assert_eq!(socket, "700 root\n");
    let planned = host.planned(2);
    let seen = run_as_reader(&host, &["plan", "--detailed-exitcode"]);
    assert_eq!(below_headline(seen, 2), planned);

    host.apply().success();
    let refused = run_as_reader(&host, &["apply", "--auto-approve"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("Permission denied"),
        "{}",
        refused.stderr
    );
    let seen = run_as_reader(&host, &["plan", "--detailed-exitcode"]);
    assert_eq!(below_headline(seen, 0), "No changes.\n");
}

#[test]
fn who_may_not_read_is_told_what_could_not_be_seen_and_gets_no_plan_that_rests_on_it() {
    let host = TestHost::with_applied(&stopped_recipe());
    let plan = host.run_as_nobody(ARMFLEET, &["plan", "--detailed-exitcode"]);
    assert_data_eq!(
        below_headline(plan, 1),
        snapbox::str![[r#"
  ? libvirtd: whether it knows the hook could not be seen: Permission denied (os error 13)
      nothing is planned that rests on it
  ? armhf-vm: its record could not be read: /var/lib/armfleet/vms: Permission denied (os error 13)
      nothing is planned that rests on it

No changes, 2 could not be seen.

"#]]
    );
    let status = host.run_as_nobody(ARMFLEET, &["status"]);
    assert_eq!((status.code, status.stderr.as_str()), (Some(1), ""));
    assert_data_eq!(
        status.stdout,
        snapbox::str![[r#"
VM        STATE  KERNEL  NEXT START
armhf-vm  off    -       -
  ? its record could not be read: /var/lib/armfleet/vms: Permission denied (os error 13)

"#]]
    );
}

#[test]
fn looking_leaves_every_file_as_it_is() {
    let host = TestHost::with_fleet(&stopped_recipe());
    let before = host.listing(&FOLDERS[..3]);
    host.planned(2);
    assert_eq!(host.listing(&FOLDERS[..3]), before);
    assert!(!host.path("/run/armfleet").exists());
    assert!(!host.path("/var/lib/armfleet").exists());

    host.apply().success();
    host.write_fleet(&recipe().replace("512MiB", "256MiB"));
    let before = host.listing(&FOLDERS);
    host.planned(2);
    host.armfleet(&["plan", "--diff"]).success();
    host.armfleet(&["status"]).success();
    host.armfleet(&["show", "armhf-vm"]).success();
    run_as_reader(&host, &["plan"]).success();
    assert_eq!(host.run_as_nobody(ARMFLEET, &["plan"]).code, Some(1));
    assert_eq!(host.listing(&FOLDERS), before);
}
