//! Which VMs the files declare: each name with its place, the range that it is of, and what is said about it alone.

use super::fields::{Field, first_time, key_text, wrong_type};
use super::range::{Member, NameRange, Wrong, is_range};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::VmName;
use crate::yaml::{Node, Sources, Value, at};
use std::collections::BTreeMap;

/// The most VMs of a fleet.
const VM_LIMIT: u64 = 10_000;

/// A VM as it is declared.
#[derive(Debug)]
pub(crate) struct Declared<'n> {
    /// Its name, if it can be one.
    pub(crate) name: Checked<VmName>,
    /// Its place in its range.
    pub(crate) index: Option<String>,
    /// The key that declares it: its own, or its range's.
    pub(crate) key: &'n Node,
    /// The range that it is of, by number.
    pub(crate) range: Option<usize>,
    /// What is said about it alone.
    pub(crate) own: Option<&'n Node>,
}

/// The entries of `vms`.
#[derive(Debug, Default)]
pub(crate) struct Declarations<'n> {
    /// The VMs.
    pub(crate) vms: Vec<Declared<'n>>,
    /// The ranges: key and value.
    pub(crate) ranges: Vec<(&'n Node, &'n Node)>,
}

/// A VM of a range, by the range's number.
type Members = BTreeMap<String, (usize, Member)>;

/// Takes `vms` apart.
pub(crate) fn declarations<'n>(
    field: &Field<'n>,
    sources: &Sources<'_>,
    found: &mut Diagnostics,
) -> Checked<Declarations<'n>> {
    let entries = match &field.node.value {
        Value::Null => return Ok(Declarations::default()),
        Value::Map(entries) => entries,
        _ => return Err(wrong_type(field, "a map from names to VMs", found)),
    };
    let mut seen = BTreeMap::new();
    let mut own = Vec::new();
    let mut ranges = Ranges::default();
    for (key, node) in entries {
        found.patience()?;
        let Ok(written) = key_text(key, found) else {
            continue;
        };
        if first_time(&mut seen, written, key, found).is_err() {
            continue;
        }
        if is_range(written) {
            ranges.add(written, key, node, sources, found)?;
        } else {
            own.push((written, key, node));
        }
    }
    ranges.report_meetings(found);
    ranges.count_with(&own, found)?;
    let mut declared = Declarations {
        vms: Vec::new(),
        ranges: ranges.entries,
    };
    for (written, key, node) in own {
        let member = ranges.members.remove(written);
        declared.vms.push(Declared {
            name: name(written, key, found),
            range: member.as_ref().map(|(range, _)| *range),
            index: member.map(|(_, member)| member.index),
            key,
            own: Some(node),
        });
    }
    for (range, member) in ranges.members.into_values() {
        let Some((key, _)) = declared.ranges.get(range) else {
            continue;
        };
        declared.vms.push(Declared {
            name: name(&member.name, key, found),
            index: Some(member.index),
            key,
            range: Some(range),
            own: None,
        });
    }
    Ok(declared)
}

fn name(written: &str, key: &Node, found: &mut Diagnostics) -> Checked<VmName> {
    let name = written.parse::<VmName>();
    name.map_err(|why| found.report(at(ProblemKind::WrongValue, key, why.0)))
}

/// The ranges so far.
#[derive(Default)]
struct Ranges<'n> {
    entries: Vec<(&'n Node, &'n Node)>,
    members: Members,
    /// Which ranges meet: the first VM of both, and how many there are.
    meetings: BTreeMap<(usize, usize), (String, usize)>,
    /// How many VMs they have.
    vms: u64,
}

impl<'n> Ranges<'n> {
    fn add(
        &mut self,
        written: &str,
        key: &'n Node,
        node: &'n Node,
        sources: &Sources<'_>,
        found: &mut Diagnostics,
    ) -> Checked<()> {
        let number = self.entries.len();
        self.entries.push((key, node));
        let range = match NameRange::parse(written) {
            Ok(range) => range,
            Err(wrong) => {
                found.report(wrong_range(written, key, wrong, sources));
                return Ok(());
            }
        };
        self.count(range.count().unwrap_or(u64::MAX), key, found)?;
        for member in range.members() {
            let first = self.members.get(&member.name).map(|(first, _)| *first);
            match first {
                None => {
                    self.members.insert(member.name.clone(), (number, member));
                }
                Some(first) => {
                    let meeting = self.meetings.entry((first, number));
                    meeting.or_insert((member.name, 0)).1 += 1;
                }
            }
        }
        Ok(())
    }

    /// Counts the VMs of another range; so many that it would take long to look at them are not looked at.
    fn count(&mut self, vms: u64, key: &Node, found: &mut Diagnostics) -> Checked<()> {
        self.vms = self.vms.saturating_add(vms);
        if self.vms <= VM_LIMIT {
            return Ok(());
        }
        let message = match vms {
            u64::MAX => "this range has more VMs than can be counted".to_owned(),
            vms if vms > VM_LIMIT => format!("this range has {vms} VMs"),
            _ => format!("with this, the fleet has {} VMs or more", self.vms),
        };
        Err(found.report(too_many(key, message)))
    }

    /// Counts the VMs that are declared by their own names and are of no range, too.
    fn count_with(&self, own: &[(&str, &Node, &Node)], found: &mut Diagnostics) -> Checked<()> {
        let alone = own
            .iter()
            .filter(|(name, ..)| !self.members.contains_key(*name));
        let mut room = VM_LIMIT.saturating_sub(self.members.len() as u64);
        for (_, key, _) in alone {
            let Some(left) = room.checked_sub(1) else {
                let message = format!("with this, the fleet has more than {VM_LIMIT} VMs");
                return Err(found.report(too_many(key, message)));
            };
            room = left;
        }
        Ok(())
    }

    fn report_meetings(&self, found: &mut Diagnostics) {
        for ((first, second), (name, count)) in &self.meetings {
            let (Some((one, _)), Some((other, _))) =
                (self.entries.get(*first), self.entries.get(*second))
            else {
                continue;
            };
            let problem = match (first == second, count - 1) {
                (true, _) => {
                    let message = format!("this range names `{name}` twice");
                    at(ProblemKind::RangesMeet, other, message)
                }
                (false, more) => {
                    let more = match more {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    };
                    let message = format!("two ranges name `{name}`{more}");
                    at(ProblemKind::RangesMeet, other, message).also(&one.range, "the first")
                }
            };
            let help = "let each VM belong to one range, and write what differs for a VM under its own name";
            found.report(problem.help(help));
        }
    }
}

fn too_many(key: &Node, message: String) -> Problem {
    at(ProblemKind::TooManyVms, key, message).help(format!(
        "a fleet has at most {VM_LIMIT}; make several fleets, each with a name of its own"
    ))
}

fn wrong_range(written: &str, key: &Node, wrong: Wrong, sources: &Sources<'_>) -> Problem {
    let mut problem = at(ProblemKind::Range, key, wrong.message).help(wrong.help);
    problem.place.range = sources.part(key, written, &wrong.part);
    problem
}
