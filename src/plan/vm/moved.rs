//! Refusals for devices whose data was moved outside armfleet, with the ways back.

use super::definitions::Definitions;
use crate::domain::{Comparison, Difference, Moved, running_overlays};
use crate::inventory::Domain;
use crate::mark::DeviceId;
use crate::paths;
use crate::plan::builder::{PlanBuilder, VmPlanner};

impl VmPlanner<'_> {
    /// Refuses what would put moved devices back, or start a VM without the data that was written since.
    pub(super) fn refuse_moved(
        &self,
        domain: Option<&Domain>,
        definitions: &Definitions<'_>,
        comparison: &mut Comparison,
        builder: &mut PlanBuilder,
    ) {
        let Some(domain) = domain else { return };
        let known: Vec<DeviceId> = comparison
            .moved
            .iter()
            .map(|moved| moved.id.clone())
            .collect();
        if let Some(live) = definitions.live() {
            let mut overlays = running_overlays(live, &definitions.stored, &comparison.applied);
            overlays.retain(|moved| !known.contains(&moved.id));
            comparison.moved.extend(overlays);
        }
        for moved in &comparison.moved {
            let remedy = self.ways_out(moved, domain);
            builder.refuse(&self.vm.name, why(moved), remedy);
        }
    }

    /// What brings the VM and its file together again, and loses nothing.
    fn ways_out(&self, moved: &Moved, domain: &Domain) -> String {
        let vm = &self.vm.name;
        let (key, key_in_file) = (&moved.device.key, moved.source_key);
        let source = moved.seen_source.as_deref().unwrap_or("what is there");
        match &moved.applied_source {
            Some(applied) if moved.overlay => {
                let start = if domain.state.has_process() {
                    String::new()
                } else {
                    format!("virsh start {vm}, then ")
                };
                format!(
                    "{start}virsh blockcommit {vm} {key} --active --pivot --wait writes what is in {source} back into {applied}"
                )
            }
            Some(applied) if moved.gone => format!(
                "set {key_in_file}: {source} in the fleet file if that is what it became; else virsh attach-disk {vm} {applied} {key} \
                 --config --targetbus virtio --sourcetype {} --driver qemu --subdriver {}",
                if paths::is_device(applied) {
                    "block"
                } else {
                    "file"
                },
                moved.applied_format.as_deref().unwrap_or("raw")
            ),
            Some(applied) => format!(
                "set {key_in_file}: {source} in the fleet file, or virsh edit {vm} to give it {applied} at {key} again"
            ),
            None => format!(
                "set {key_in_file}: {source} in the fleet file and apply, which writes the record again"
            ),
        }
    }
}

fn why(moved: &Moved) -> String {
    let name = &moved.id;
    let changes: Vec<String> = moved.differences.iter().map(change).collect();
    let changes = changes.join(", ");
    match &moved.applied_source {
        Some(applied) if moved.gone => format!(
            "{name} ({applied}) was taken out of the domain, which has a disk that armfleet did not add ({changes}); it is not added beside that one"
        ),
        Some(applied) => format!(
            "{name} was changed outside armfleet ({changes}) and is not changed back: {applied} lacks every write since"
        ),
        None => format!(
            "{name} is not what the file says ({changes}), and no record says what the last apply made it"
        ),
    }
}

fn change(difference: &Difference) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let (applied, seen) = (text(&difference.applied), text(&difference.seen));
    format!("{} {applied} -> {seen}", difference.property)
}
