//! Which VMs the files declare: each name with its place, the range that it is of, and what is said about it alone.

use super::fields::{Field, Scope, Spanned};
use super::range::{NameRange, is_range};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::{Unacceptable, VmName};
use crate::yaml::{Node, at};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

const VM_LIMIT: usize = 10_000;

/// A range: its key and its value.
type Declared<'n> = (&'n Node, &'n Node);

#[derive(Debug)]
pub(crate) struct DeclaredVm<'n> {
    /// Its name, if it can be one, and the key that declares it: its own, or its range's.
    pub(crate) name: Checked<Spanned<VmName>>,
    pub(crate) key: &'n Node,
    /// What `{index}` stands for in it.
    pub(crate) index: Option<String>,
    /// The value of its range.
    pub(crate) range: Option<&'n Node>,
    pub(crate) own: Option<&'n Node>,
}

#[derive(Debug, Default)]
pub(crate) struct Declarations<'n> {
    pub(crate) vms: Vec<DeclaredVm<'n>>,
    pub(crate) ranges: Vec<Declared<'n>>,
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
    let declared = |written: &str, key: &'n Node, of: Option<(Declared<'n>, String)>, own| {
        let name = written.parse().map(|name| Spanned::new(name, &key.range));
        DeclaredVm {
            name: name
                .map_err(|why: Unacceptable| at(ProblemKind::WrongValue, key, why.0).report(found)),
            key,
            range: of.as_ref().map(|((_, body), _)| *body),
            index: of.map(|(_, index)| index),
            own,
        }
    };
    let Ranges {
        entries,
        mut members,
        ..
    } = ranges;
    let own = own.into_iter().map(|(written, key, node)| {
        let of = members.remove(written);
        declared(written, key, of, Some(node))
    });
    let mut vms: Vec<_> = own.collect();
    let rest = members.into_iter();
    vms.extend(rest.map(|(name, of)| declared(&name, of.0.0, Some(of), None)));
    Ok(Declarations {
        vms,
        ranges: entries,
    })
}

#[derive(Default)]
struct Ranges<'n> {
    entries: Vec<Declared<'n>>,
    /// Their VMs, each with its range and its index in that.
    members: BTreeMap<String, (Declared<'n>, String)>,
    /// The keys of ranges that meet, by where they begin, with the first VM of both and the number of VMs.
    meetings: BTreeMap<[usize; 2], ([&'n Node; 2], String, usize)>,
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
        for (name, index) in range.members() {
            match self.members.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(((key, node), index));
                }
                Entry::Occupied(first) => {
                    let keys = [first.get().0.0, key];
                    let meeting = self.meetings.entry(keys.map(|key| key.range.start));
                    meeting.or_insert((keys, first.key().clone(), 0)).2 += 1;
                }
            }
        }
        Ok(())
    }

    /// Counts the VMs of another range, before they are written out.
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

    /// Counts also the VMs that no range names.
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
        for ([one, other], name, count) in self.meetings.values() {
            let more = match count - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let problem = |message| at(ProblemKind::RangesMeet, other, message);
            let problem = match one.range == other.range {
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
