//! Which VMs the files declare: each name with its place, the range that it is of, and what is said about it alone.

use super::fields::{Field, Scope, Spanned};
use super::range::{Member, NameRange, is_range};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::{Unacceptable, VmName};
use crate::yaml::{Node, at};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

const VM_LIMIT: usize = 10_000;

#[derive(Debug)]
pub(crate) struct DeclaredVm<'n> {
    /// Its name, if it can be one, and the key that declares it: its own, or its range's.
    pub(crate) name: Checked<Spanned<VmName>>,
    pub(crate) key: &'n Node,
    /// Its place in its range.
    pub(crate) index: Option<String>,
    /// What is said about the range that it is of.
    pub(crate) range: Option<&'n Node>,
    pub(crate) own: Option<&'n Node>,
}

#[derive(Debug, Default)]
pub(crate) struct Declarations<'n> {
    pub(crate) vms: Vec<DeclaredVm<'n>>,
    /// The ranges: key and value.
    pub(crate) ranges: Vec<(&'n Node, &'n Node)>,
}

pub(crate) fn declarations<'n>(field: &Field<'n>) -> Checked<Declarations<'n>> {
    let found = field.scope.found;
    let mut own = Vec::new();
    let mut ranges = Ranges::default();
    for (written, key, node) in field.entries("a map from names to VMs")? {
        if is_range(written) {
            ranges.add(written, key, node, field.scope)?;
        } else {
            own.push((written, key, node));
        }
    }
    ranges.report_meetings(found);
    ranges.count_with(&own, found)?;
    let declared = |written: &str, key: &'n Node, of: Option<(usize, Member)>, own| {
        let name = written.parse().map(|name| Spanned::new(name, &key.range));
        let range = of
            .as_ref()
            .and_then(|(range, _)| ranges.entries.get(*range));
        DeclaredVm {
            name: name
                .map_err(|why: Unacceptable| at(ProblemKind::WrongValue, key, why.0).report(found)),
            key,
            range: range.map(|(_, body)| *body),
            index: of.map(|(_, member)| member.index),
            own,
        }
    };
    let mut members = std::mem::take(&mut ranges.members);
    let own = own.into_iter().map(|(written, key, node)| {
        let of = members.remove(written);
        declared(written, key, of, Some(node))
    });
    let mut vms: Vec<_> = own.collect();
    for (name, (range, member)) in members {
        if let Some((key, _)) = ranges.entries.get(range) {
            vms.push(declared(&name, key, Some((range, member)), None));
        }
    }
    let ranges = ranges.entries;
    Ok(Declarations { vms, ranges })
}

#[derive(Default)]
struct Ranges<'n> {
    entries: Vec<(&'n Node, &'n Node)>,
    /// Their VMs, each with its range's number.
    members: BTreeMap<String, (usize, Member)>,
    /// Which ranges meet: the first VM of both, and how many there are.
    meetings: BTreeMap<(usize, usize), (String, usize)>,
    vms: u64,
}

impl<'n> Ranges<'n> {
    fn add(
        &mut self,
        written: &str,
        key: &'n Node,
        node: &'n Node,
        scope: Scope<'_>,
    ) -> Checked<()> {
        let number = self.entries.len();
        self.entries.push((key, node));
        let range = match NameRange::parse(written) {
            Ok(range) => range,
            Err(wrong) => {
                let mut problem = at(ProblemKind::Range, key, wrong.message).help(wrong.help);
                problem.place.range = scope.sources.parts(key, written)(&wrong.part);
                problem.report(scope.found);
                return Ok(());
            }
        };
        self.count(range.count(), key, scope.found)?;
        for member in range.members() {
            match self.members.entry(member.name.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert((number, member));
                }
                Entry::Occupied(first) => {
                    let meeting = self.meetings.entry((first.get().0, number));
                    meeting.or_insert((member.name, 0)).1 += 1;
                }
            }
        }
        Ok(())
    }

    /// Counts the VMs of another range; so many that it would take long to look at them are not looked at.
    fn count(&mut self, vms: u64, key: &Node, found: &Diagnostics) -> Checked<()> {
        self.vms = self.vms.saturating_add(vms);
        if self.vms <= VM_LIMIT as u64 {
            return Ok(());
        }
        let message = match vms {
            u64::MAX => "this range has more VMs than can be counted".to_owned(),
            vms if vms > VM_LIMIT as u64 => format!("this range has {vms} VMs"),
            _ => format!("with this, the fleet has {} VMs or more", self.vms),
        };
        Err(too_many(key, message).report(found))
    }

    /// Counts the VMs that are declared by their own names and are of no range, too.
    fn count_with(&self, own: &[(&str, &Node, &Node)], found: &Diagnostics) -> Checked<()> {
        let mut alone = own
            .iter()
            .filter(|(name, ..)| !self.members.contains_key(*name));
        match alone.nth(VM_LIMIT.saturating_sub(self.members.len())) {
            Some((_, key, _)) => {
                let message = format!("with this, the fleet has more than {VM_LIMIT} VMs");
                Err(too_many(key, message).report(found))
            }
            None => Ok(()),
        }
    }

    fn report_meetings(&self, found: &Diagnostics) {
        for ((first, second), (name, count)) in &self.meetings {
            let (Some((one, _)), Some((other, _))) =
                (self.entries.get(*first), self.entries.get(*second))
            else {
                continue;
            };
            let more = match count - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let problem = |message| at(ProblemKind::RangesMeet, other, message);
            let problem = match first == second {
                true => problem(format!("this range names `{name}` twice")),
                false => {
                    problem(format!("two ranges name `{name}`{more}")).also(&one.range, "the first")
                }
            };
            let help = "let each VM belong to one range, and write what differs for a VM under its own name";
            problem.help(help).report(found);
        }
    }
}

fn too_many(key: &Node, message: String) -> Problem {
    at(ProblemKind::TooManyVms, key, message).help(format!(
        "a fleet has at most {VM_LIMIT}; make several fleets, each with a name of its own"
    ))
}
