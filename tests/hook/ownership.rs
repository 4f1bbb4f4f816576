//! Whose domain it is, and what happens beside an ordinary start.

use crate::world::{UUID, World, domain_xml, mark};
use armfleet::boot::HookNote;
use armfleet::hook::{Verdict, prepare};
use armfleet::paths;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

const OTHER: &str = "00000000-0000-8000-8000-000000000000";

#[test]
fn a_domain_that_is_not_ours_is_left_alone() {
    let world = World::installed();
    let ours = mark("obs", "armhf-vm", UUID);
    let foreign = [
        (
            "another domain of this name",
            domain_xml("armhf-vm", OTHER, "armv7l", ""),
        ),
        (
            "a clone with a copied mark",
            domain_xml("armhf-vm", OTHER, "armv7l", &ours),
        ),
        (
            "a mark that was erased",
            domain_xml("armhf-vm", UUID, "armv7l", ""),
        ),
        (
            "another fleet's",
            domain_xml("armhf-vm", UUID, "armv7l", &mark("other", "armhf-vm", UUID)),
        ),
        (
            "a renamed one",
            domain_xml("armhf-vm", UUID, "armv7l", &mark("obs", "old-name", UUID)),
        ),
        (
            "one of another name",
            domain_xml("other", UUID, "armv7l", &ours),
        ),
        ("no XML", String::new()),
        ("broken XML", "<domain><name>armhf-vm".to_owned()),
        ("endless XML", format!("<domain>{}", " ".repeat(5 << 20))),
    ];
    for (what, xml) in foreign {
        let outcome = prepare(&world.root, "armhf-vm", xml.as_bytes());
        assert_eq!(outcome.verdict, Verdict::Done, "{what}");
        assert!(
            outcome.text.starts_with("armfleet: armhf-vm: "),
            "{what}: {}",
            outcome.text
        );
        assert!(!world.path(paths::boot_folder).exists(), "{what}");
        assert!(!world.root.below(paths::RUN).exists(), "{what}");
    }
}

#[test]
fn names_without_a_record_are_answered_with_silence() {
    let world = World::installed();
    for name in [
        "",
        ".",
        "..",
        "/",
        "../armhf-vm",
        "unknown",
        "-a",
        "a b",
        "a\nb",
        "null",
        "ä",
        &"a".repeat(300),
    ] {
        let outcome = prepare(&world.root, name, world.xml().as_bytes());
        assert_eq!(
            (outcome.verdict, outcome.text.as_str()),
            (Verdict::Done, ""),
            "{name:?}"
        );
    }
    assert!(!world.root.below(paths::RUN).exists());
}

#[test]
fn a_damaged_record_stops_no_vm_that_has_a_kernel() {
    let world = World::installed();
    let record = world.path(paths::record);
    fs::write(&record, "{").unwrap();
    assert!(world.refused().contains("its record is damaged"));
    let clone = domain_xml("armhf-vm", OTHER, "armv7l", &mark("obs", "armhf-vm", UUID));
    assert_eq!(
        prepare(&world.root, "armhf-vm", clone.as_bytes()).verdict,
        Verdict::Done
    );
    world.write_record();
    world.start();
    fs::write(&record, "{").unwrap();
    assert!(world.start().contains("nothing was staged"));
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    assert!(world.start().contains("its record is unreadable"));
}

#[test]
fn a_domain_of_another_architecture_is_refused_unless_what_is_staged_may_be_for_it() {
    let world = World::installed();
    let ours = mark("obs", "armhf-vm", UUID);
    let start = |arch: &str| {
        let xml = domain_xml("armhf-vm", UUID, arch, &ours);
        prepare(&world.root, "armhf-vm", xml.as_bytes())
    };
    let outcome = start("x86_64");
    assert_eq!(outcome.verdict, Verdict::Refused);
    assert!(outcome.text.contains("its architecture is `x86_64`"));
    let outcome = start("aarch64");
    assert_eq!(outcome.verdict, Verdict::Refused);
    assert!(
        outcome
            .text
            .contains("`vmlinuz-6.1.0-48-armmp` is a kernel for armhf"),
        "{}",
        outcome.text
    );
    world.start();
    assert_eq!(start("x86_64").verdict, Verdict::Done);
    assert_eq!(start("aarch64").verdict, Verdict::Refused);
}

#[test]
fn a_restored_vm_is_left_as_it_is() {
    let world = World::installed();
    world.start();
    world.install("6.1.0-50-armmp");
    world.link_pair("", "6.1.0-50-armmp");
    let note = world.path(paths::restoring);

    File::create(&note).unwrap();
    assert!(world.start().contains("restored with its memory"));
    assert_eq!(world.booted(), "6.1.0-48-armmp");
    assert!(!note.exists(), "it counts once");
    world.start();
    assert_eq!(world.booted(), "6.1.0-50-armmp");

    world.link_pair("", "6.1.0-48-armmp");
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    File::create(&note).unwrap().set_modified(long_ago).unwrap();
    world.start();
    assert_eq!(
        world.booted(),
        "6.1.0-48-armmp",
        "an old note is of a restore that failed"
    );
    assert!(!note.exists());
}

#[test]
fn a_restored_vm_without_anything_staged_gets_a_kernel() {
    let world = World::installed();
    File::create(world.path(paths::restoring)).unwrap();
    world.start();
}

#[test]
fn every_run_for_a_vm_of_ours_leaves_its_stamp() {
    let world = World::new();
    let stamp = world.path(paths::hook_seen);
    let refusal = world.refused();
    let note = HookNote::read(&fs::read_to_string(&stamp).unwrap());
    assert!(!note.said.is_empty());
    for line in note.said {
        assert!(refusal.contains(&line), "{line}: {refusal}");
    }
    let before = fs::metadata(&stamp).unwrap().modified().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    world.install("6.1.0-48-armmp");
    world.start();
    assert!(
        fs::read_to_string(&stamp)
            .unwrap()
            .contains("boots 6.1.0-48-armmp")
    );
    assert!(fs::metadata(&stamp).unwrap().modified().unwrap() > before);
    world.link_pair("", "6.1.0-48-armmp");
    world.start();
    world.start();
    assert_eq!(
        fs::read_to_string(&stamp).unwrap(),
        "",
        "nothing to say about an unchanged share"
    );
}

#[test]
fn a_held_lock_is_waited_for_and_not_for_ever() {
    let world = World::installed();
    world.start();
    world.install("6.1.0-50-armmp");
    world.link_pair("", "6.1.0-50-armmp");
    let lock = File::options()
        .write(true)
        .open(world.path(paths::staging_lock))
        .unwrap();
    lock.lock().unwrap();
    let text = world.start();
    assert!(
        text.contains("staging lock") && text.contains("boots what was staged before"),
        "{text}"
    );
    assert_eq!(world.booted(), "6.1.0-48-armmp");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            lock.unlock().unwrap();
        });
        world.start();
    });
    assert_eq!(world.booted(), "6.1.0-50-armmp");
}
