//! What a domain has against what the spec wants.

use super::edit::{DeviceRef, Edit, apply_edits};
use super::interfaces;
use super::kind::{DeviceKind, KindInput, WantedDevice, find_device};
use super::kinds::{CLOUD_INIT, DISK, attached, find_kind, transport_of, wanted_devices};
use super::moved::{Moved, moved_devices};
use super::numbering::{Held, Renumbered, clash, renumbering};
use super::row::{Row, RowInput, Want};
use super::rows::DOMAIN_ROWS;
use super::seen::has_other_arch;
use super::skeleton::skeleton;
use super::subject::Subject;
use super::value::Value;
use crate::fleet::Vm;
use crate::inventory::Libvirt;
use crate::mark::{Applied, AppliedDevice, DeviceId, KindId, PropertyId, Record};
use crate::values::{FleetName, Transport, domain_uuid};
use crate::xml;
use roxmltree::{Document, Node};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What is recorded of a device that the last apply did not know.
static NOTHING: BTreeMap<PropertyId, String> = BTreeMap::new();

/// The difference between a domain and what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The edits that make the domain what is wanted.
    pub edits: Vec<Edit>,
    /// The same for people.
    pub changes: Vec<RowChange>,
    /// What the record is to say once the edits are made.
    pub applied: Applied,
    /// Wanted changes that this domain does not allow, and why.
    pub refusals: Vec<String>,
    /// Devices whose data was moved outside armfleet; no device of their kind is edited.
    pub moved: Vec<Moved>,
    /// Disks and interfaces that get another name in the guest.
    pub renumbered: Vec<Renumbered>,
    /// Why the disks stay as they are, though others are wanted.
    pub held: Option<Held>,
}

impl Comparison {
    /// Whether no device of this kind is edited, nor what it needs made.
    #[must_use]
    pub fn keeps(&self, kind: &KindId) -> bool {
        let mut moved = self.moved.iter();
        let is_disk = *kind == DISK || *kind == CLOUD_INIT;
        (self.held.is_some() && is_disk) || moved.any(|moved| moved.id.kind == *kind)
    }
}

/// One property that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowChange {
    /// The property, with its device.
    pub what: Subject,
    /// What is there; null if nothing is.
    pub before: Option<String>,
    /// What will be there; null if nothing will be.
    pub after: Option<String>,
    /// Why a running VM does not get it at once; null where it does, or is off.
    pub waits: Option<String>,
    /// Whether the file changed, or the host; null where nothing was applied before.
    pub cause: Option<Cause>,
}

/// Why what is seen is not what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The fleet file wants something else than it did at the last apply.
    FileChanged,
    /// The host has something else than the last apply left.
    Drifted,
    /// Both.
    Both,
}

impl fmt::Display for RowChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value| Option::unwrap_or(value, "nothing");
        let (before, after) = (self.before.as_deref(), self.after.as_deref());
        write!(f, "{} {} -> {}", self.what, text(before), text(after))
    }
}

impl Cause {
    /// Why what is seen is not what is wanted, where something was applied before; none where all three are the same.
    #[must_use]
    pub fn of<T: PartialEq + ?Sized>(wanted: &T, applied: &T, seen: &T) -> Option<Self> {
        match (wanted == applied, seen == applied) {
            (false, true) => Some(Self::FileChanged),
            (true, false) => Some(Self::Drifted),
            (false, false) => Some(Self::Both),
            (true, true) => None,
        }
    }

    /// Several causes as one.
    #[must_use]
    pub fn together(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::FileChanged => "file changed",
            Self::Drifted => "drifted",
            Self::Both => "changed in the file, and drifted",
        }
    }

    /// Whether the host has something else than the last apply left.
    #[must_use]
    pub fn is_drift(self) -> bool {
        self != Self::FileChanged
    }
}

/// Compares a domain's definition with what is wanted of it. A new domain is compared as its skeleton.
#[must_use]
pub fn compare(
    vm: &Vm,
    libvirt: &Libvirt,
    record: Option<&Record>,
    definition: &Document<'_>,
    new: bool,
) -> Comparison {
    compare_with(vm, libvirt, record, definition, new, None)
}

/// The same where this is the file of the disk for cloud-init.
#[must_use]
pub fn compare_with(
    vm: &Vm,
    libvirt: &Libvirt,
    record: Option<&Record>,
    definition: &Document<'_>,
    new: bool,
    cloud_init: Option<&str>,
) -> Comparison {
    compare_extent(&Asked {
        vm,
        libvirt,
        record,
        document: definition,
        new,
        extent: Extent::All,
        cloud_init,
    })
}

/// As [`compare_with`] for an existing domain, but only what drifted since the last apply; what changed in the file is left
/// for another time.
#[must_use]
pub fn compare_drift(
    vm: &Vm,
    libvirt: &Libvirt,
    record: Option<&Record>,
    definition: &Document<'_>,
    cloud_init: Option<&str>,
) -> Comparison {
    compare_extent(&Asked {
        vm,
        libvirt,
        record,
        document: definition,
        new: false,
        extent: Extent::Drift,
        cloud_init,
    })
}

/// How much is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Everything.
    All,
    /// What drifted.
    Drift,
}

/// What is compared.
struct Asked<'a, 'input> {
    vm: &'a Vm,
    libvirt: &'a Libvirt,
    record: Option<&'a Record>,
    document: &'a Document<'input>,
    new: bool,
    extent: Extent,
    cloud_init: Option<&'a str>,
}

/// Disks whose names in the guest must not change stay as they are.
fn compare_extent(asked: &Asked<'_, '_>) -> Comparison {
    let mut comparison = compare_all(asked, None);
    if asked.new {
        return comparison;
    }
    match renumbering(asked.vm, asked.document, &comparison.edits) {
        Ok(renumbered) => comparison.renumbered = renumbered,
        Err(held) => comparison = compare_all(asked, Some(held)),
    }
    let behind = interfaces::behind(asked.document, &comparison.edits);
    comparison.edits.extend(behind);
    let renamed = interfaces::renamed(asked.document, &comparison.edits);
    comparison.renumbered.extend(renamed);
    comparison
}

fn compare_all(asked: &Asked<'_, '_>, held: Option<Held>) -> Comparison {
    let Asked {
        vm,
        libvirt,
        document,
        new,
        extent,
        ..
    } = *asked;
    let mut result = Comparison {
        held,
        ..Comparison::default()
    };
    let before = asked.record.map(|record| &record.applied);
    let transport = transport_of(vm, document);
    let input = RowInput {
        vm,
        libvirt,
        new,
        chooses_accel: new || has_other_arch(vm, document),
        executed_by: document.root_element().attribute("type"),
        transport,
        device: None,
        key: None,
        recorded: None,
        cloud_init: asked.cloud_init,
    };
    let scope = Scope {
        device: None,
        node: Some(document.root_element()),
        transport,
        extent,
    };
    let rows = before.map(|applied| &applied.rows);
    result.applied.rows = compare_rows(&mut result, DOMAIN_ROWS, &input, &scope, rows);

    result.applied.userland = match (extent, before) {
        (Extent::Drift, Some(applied)) => applied.userland,
        _ => vm.has_other_userland().then_some(vm.userland),
    };

    let wanted = wanted_devices(&KindInput {
        vm,
        document,
        transport,
        before,
        new,
    });
    if !new {
        result.moved = moved_devices(&wanted, &input, document, before);
    }
    if let Some(held) = clash(&wanted) {
        // The new disk of the two is compared with the other one, so that it only looks moved.
        let is_known =
            |id: &DeviceId| before.is_some_and(|applied| applied.devices.contains_key(id));
        result
            .moved
            .retain(|moved| moved.id.kind != DISK || is_known(&moved.id));
        result.held = Some(held);
    }
    // A device that comes may have the place of one that goes.
    let removals = result.edits.len();
    for (kind, device) in &wanted {
        if result.keeps(&kind.id) {
            keep_recorded(&mut result, &device.id, before);
        } else {
            compare_device(&mut result, kind, device, &input, document, before, extent);
        }
    }
    let left = before
        .into_iter()
        .flat_map(|applied| &applied.devices)
        .filter(|(id, _)| wanted.iter().all(|(_, device)| device.id != **id));
    for (id, device) in left {
        let taken_over = wanted
            .iter()
            .any(|(_, wanted)| wanted.is_applied(id, device));
        match extent {
            Extent::All if result.keeps(&id.kind) => keep_recorded(&mut result, id, before),
            _ if taken_over => {}
            Extent::All => withdraw_device(&mut result, removals, &input, document, id, device),
            Extent::Drift => keep_recorded(&mut result, id, before),
        }
    }
    result
}

/// What was recorded of a device stays, since the device stays as it is.
fn keep_recorded(result: &mut Comparison, id: &DeviceId, before: Option<&Applied>) {
    let recorded = before.and_then(|applied| applied.devices.get(id));
    let devices = &mut result.applied.devices;
    devices.extend(recorded.map(|device| (id.clone(), device.clone())));
}

fn compare_device(
    result: &mut Comparison,
    kind: &'static DeviceKind,
    device: &WantedDevice,
    input: &RowInput<'_>,
    document: &Document<'_>,
    before: Option<&Applied>,
    extent: Extent,
) {
    let node = find_device(document, kind, &device.key).filter(|_| !device.replaces);
    let recorded = before.and_then(|applied| device.last_applied(applied));
    let recorded_rows = before.map(|_| recorded.map_or(&NOTHING, |device| &device.rows));
    if node.is_none() && recorded_rows.is_none_or(BTreeMap::is_empty) && extent == Extent::Drift {
        return;
    }
    let reference = DeviceRef {
        kind: kind.id.clone(),
        key: device.key.clone(),
    };
    if node.is_none() {
        result.edits.push(Edit::Add(reference.clone()));
    }
    let input = RowInput {
        new: node.is_none(),
        device: Some(&device.id),
        key: Some(&device.key),
        recorded,
        ..*input
    };
    let scope = Scope {
        device: Some((kind, &device.id, reference)),
        node,
        transport: node.and_then(attached).unwrap_or(input.transport),
        extent,
    };
    let rows = compare_rows(result, kind.rows, &input, &scope, recorded_rows);
    let key = kind.key_row().and_then(|row| rows.get(&row.id));
    let applied = AppliedDevice {
        key: key.unwrap_or(&device.key).clone(),
        rows,
        place: None,
        base: None,
    };
    result.applied.devices.insert(device.id.clone(), applied);
}

/// The definition of a VM's domain if it were created now.
#[must_use]
pub fn render_new(fleet: &FleetName, vm: &Vm, libvirt: &Libvirt) -> String {
    let skeleton = skeleton(vm.arch, fleet, &vm.name, &domain_uuid(fleet, &vm.name));
    let document = xml::parse(&skeleton).ok();
    // The skeleton is this program's own, and a test renders it.
    let rendered = document.and_then(|document| {
        let edits = compare(vm, libvirt, None, &document, true).edits;
        apply_edits(&skeleton, &edits).ok()
    });
    rendered.unwrap_or(skeleton)
}

/// Where rows are compared.
struct Scope<'a, 'input> {
    /// The device: its kind, what it is called, and where it is. None for the domain.
    device: Option<(&'static DeviceKind, &'a DeviceId, DeviceRef)>,
    /// Nothing where the device is to be added.
    node: Option<Node<'a, 'input>>,
    /// How the device is attached; of the domain, how its devices are.
    transport: Transport,
    extent: Extent,
}

impl Scope<'_, '_> {
    fn place(&self) -> Option<DeviceRef> {
        let device = self.device.as_ref();
        device.map(|(_, _, reference)| reference.clone())
    }

    fn subject(&self, row: &Row) -> Subject {
        match self.device {
            None => Subject::Property(row.id.clone()),
            Some((_, id, _)) => Subject::OfDevice(id.clone(), row.id.clone()),
        }
    }

    /// What a plan shows of a change of a row. Of a device that is added, only its source is worth a line.
    fn shown(&self, row: &Row) -> Option<Subject> {
        match self.device {
            Some((kind, id, _)) if self.node.is_none() => {
                (kind.source == row.id).then(|| Subject::Device(id.clone()))
            }
            _ => Some(self.subject(row)),
        }
    }
}

/// What a row comes to.
struct RowDifference {
    /// None to take the property out.
    after: Option<Value>,
    seen: Option<Value>,
    cause: Option<Cause>,
}

/// Compares rows in one scope and gives what is applied there afterwards.
fn compare_rows(
    result: &mut Comparison,
    rows: &[Row],
    input: &RowInput<'_>,
    scope: &Scope<'_, '_>,
    recorded: Option<&BTreeMap<PropertyId, String>>,
) -> BTreeMap<PropertyId, String> {
    let mut applied = BTreeMap::new();
    let added = scope.node.is_none();
    for row in rows {
        let last = recorded.and_then(|rows| rows.get(&row.id));
        let wanted = (row.want)(input);
        let text = recorded_text(row, &wanted, last);
        let Some(mut difference) = differs(row, wanted, last, input, scope) else {
            applied.extend(text.map(|text| (row.id.clone(), text)));
            continue;
        };
        if recorded.is_none() {
            difference.cause = None;
        }
        let drifted = difference.cause.is_some_and(Cause::is_drift);
        if scope.extent == Extent::Drift && !added && !drifted {
            applied.extend(last.map(|last| (row.id.clone(), last.clone())));
            continue;
        }
        let place = scope.node.filter(|_| !input.new);
        if let Some(why) = place.and_then(|node| (row.refuse)(node)) {
            result.refusals.push(refusal(scope, row, &difference, why));
            let kept = last
                .cloned()
                .or(text)
                .filter(|_| difference.after.is_some());
            applied.extend(kept.map(|kept| (row.id.clone(), kept)));
            continue;
        }
        applied.extend(text.map(|text| (row.id.clone(), text)));
        push(result, row, scope, difference);
    }
    applied
}

/// What is recorded of a property once it is as wanted. The same value keeps its text, so that no record is written anew
/// for the words of it.
fn recorded_text(row: &Row, wanted: &Want, last: Option<&String>) -> Option<String> {
    match wanted {
        Want::Leave => last.cloned(),
        Want::Withdraw | Want::Value(None) => None,
        Want::Value(Some(wanted)) => {
            let same = last.filter(|last| row.codec.read_recorded(last) == *wanted);
            Some(same.cloned().unwrap_or_else(|| wanted.recorded()))
        }
    }
}

/// In what a property is not as wanted.
fn differs(
    row: &Row,
    wanted: Want,
    last: Option<&String>,
    input: &RowInput<'_>,
    scope: &Scope<'_, '_>,
) -> Option<RowDifference> {
    let seen = scope.node.and_then(|node| row.read(node));
    let last = last.map(|last| row.codec.read_recorded(last));
    let (after, cause) = match wanted {
        Want::Leave => return None,
        Want::Withdraw if last.is_none() || seen != last => return None,
        Want::Withdraw => (None, cause(None, last.as_ref(), seen.as_ref())),
        // What is recorded of an absent property is nothing, so that one that is there came from outside.
        Want::Value(None) => (
            None,
            Cause::of(&None, &last.as_ref(), &Some(seen.as_ref()?)),
        ),
        Want::Value(Some(wanted)) => {
            let guest = input.libvirt.guests.get(input.vm.arch.libvirt);
            let is_satisfied = |seen: &Value| row.codec.satisfied(&wanted, seen, guest);
            if seen.as_ref().is_some_and(is_satisfied) {
                return None;
            }
            let cause = cause(Some(&wanted), last.as_ref(), seen.as_ref());
            (Some(wanted), cause)
        }
    };
    Some(RowDifference { after, seen, cause })
}

fn refusal(scope: &Scope<'_, '_>, row: &Row, difference: &RowDifference, why: &str) -> String {
    let text = |value: &Option<Value>| {
        let text = value.as_ref().map(ToString::to_string);
        text.unwrap_or_else(|| "nothing".to_owned())
    };
    let (seen, after) = (text(&difference.seen), text(&difference.after));
    format!("{} {seen} -> {after}: {why}", scope.subject(row))
}

/// Takes a difference in, as an edit and as a line for people.
fn push(result: &mut Comparison, row: &Row, scope: &Scope<'_, '_>, difference: RowDifference) {
    let RowDifference { after, seen, cause } = difference;
    if let Some(what) = scope.shown(row) {
        result.changes.push(RowChange {
            what,
            before: seen.map(|value| value.to_string()),
            after: after.as_ref().map(ToString::to_string),
            waits: Some((row.waits)(scope.transport).to_owned()),
            cause,
        });
    }
    let (device, row) = (scope.place(), row.id.clone());
    result.edits.push(match after {
        Some(value) => Edit::Set { device, row, value },
        None => Edit::Clear { device, row },
    });
}

/// Why a property differs from what is wanted, `last` being what the last apply wanted. What it did not want, nobody
/// can have changed since.
fn cause(wanted: Option<&Value>, last: Option<&Value>, seen: Option<&Value>) -> Option<Cause> {
    let Some(last) = last else {
        return Some(Cause::FileChanged);
    };
    Cause::of(&wanted, &Some(last), &seen)
}

/// Takes out a device that armfleet put in and that left the spec, by the edit at this place.
fn withdraw_device(
    result: &mut Comparison,
    at: usize,
    input: &RowInput<'_>,
    document: &Document<'_>,
    id: &DeviceId,
    device: &AppliedDevice,
) {
    let Some(kind) = find_kind(&id.kind) else {
        return;
    };
    let Some(node) = find_device(document, kind, &device.key) else {
        return;
    };
    let removed = DeviceRef {
        kind: kind.id.clone(),
        key: device.key.clone(),
    };
    result.edits.insert(at, Edit::Remove(removed));
    let transport = attached(node).unwrap_or(input.transport);
    result.changes.push(RowChange {
        what: Subject::Device(id.clone()),
        before: kind.source(node).map(|value| value.to_string()),
        after: None,
        waits: kind.waits().map(|waits| waits(transport).to_owned()),
        cause: Some(Cause::FileChanged),
    });
}
