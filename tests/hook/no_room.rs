//! A start with nothing else to boot, on a file system that is full.

use crate::world::World;
use armfleet::hook::{Root, prepare};
use armfleet::paths;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = "ARMFLEET_TEST_FULL_WORLD";

#[test]
#[ignore = "run by the test below"]
fn run_the_hook_where_there_is_no_room() {
    let folder = env::var_os(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let xml = fs::read(folder.join("domain.xml")).unwrap();
    let outcome = prepare(&Root::at(folder), "armhf-vm", xml.as_slice());
    println!("{:?}: {}", outcome.verdict, outcome.text);
}

#[test]
fn a_full_file_system_is_named_and_no_file_of_the_guests() {
    let world = World::installed();
    let staged = world.path(paths::boot_folder);
    fs::create_dir_all(&staged).unwrap();
    fs::write(world.outside("domain.xml"), world.xml()).unwrap();
    let run = |size: &str| {
        let script = format!(r#"mount -t tmpfs -o size={size} none "$0" && exec "$@""#);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(&staged);
        command.arg(env::current_exe().unwrap()).args([
            "--exact",
            "no_room::run_the_hook_where_there_is_no_room",
            "--ignored",
            "--nocapture",
        ]);
        let output = command.env(FOLDER, world.outside("")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let full = run("4k");
    assert!(full.contains("Refused: "), "{full}");
    let remedy = format!("free some room in the file system of {}", paths::STATE);
    assert!(full.contains(&remedy), "{full}");
    assert!(!full.contains("install"), "{full}");
    // The same with room enough.
    let roomy = run("16m");
    assert!(roomy.contains("Done: "), "{roomy}");
}
