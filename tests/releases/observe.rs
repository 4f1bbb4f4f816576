//! Prints what planning observes of this host for a fleet file, as a snapshot's file: `observe FLEET.yaml`.

use armfleet::fleet::read_fleet;
use armfleet::host::system::SystemReads;
use armfleet::host::{Inspect as _, Observer};
use armfleet::inventory::query;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: observe FLEET.yaml")?;
    let spec = read_fleet(&std::fs::read(&file)?, &file, "/")
        .map_err(|_| format!("{file} has problems; run armfleet validate {file}"))?;
    let reads = SystemReads::open("qemu:///system", Path::new("/"))?;
    let seen = Observer(reads).observe(&query(&spec))?;
    serde_json::to_writer_pretty(std::io::stdout(), &seen)?;
    Ok(())
}
