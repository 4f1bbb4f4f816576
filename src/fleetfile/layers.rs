//! What a VM is made of, the weakest first: `defaults`, its profile, the range that it is of, and its own keys.

use super::declarations::{Declarations, Declared as DeclaredVm, declarations};
use super::expand::{Placeholders, Room};
use super::fields::{Field, Fields, Spanned, first_time, key_text, listed, wrong_type};
use super::key::Map;
use super::merge::merge;
use super::readable::{Readable, Scope};
use super::suggest::nearest;
use crate::problem::{Checked, Diagnostics, Layer, Problem, ProblemKind};
use crate::values::VmName;
use crate::yaml::{Node, Value, at, describe, mend};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// A VM that was read, and the parts of the files that it is made of, besides its own.
#[derive(Debug)]
pub(crate) struct Layered<P> {
    pub(crate) vm: P,
    pub(crate) layers: Vec<Layer>,
}

/// What VMs are made of, besides their own keys.
struct Layers<'n> {
    defaults: Option<(&'n Range<usize>, &'n Node)>,
    profiles: BTreeMap<&'n str, (&'n Node, &'n Node)>,
    ranges: Vec<(&'n Node, &'n Node)>,
    vars: Range<usize>,
    /// What is said about all VMs with a certain profile that are of a certain range.
    merged: BTreeMap<(Option<&'n str>, Option<usize>), Rc<Node>>,
    room: Room,
    root: &'static Map,
}

/// Reads all VMs. `words` are what placeholders stand for, apart from the VM's own name.
pub(crate) fn layered<T: Readable>(
    file: &Fields<'_>,
    words: Placeholders<'_>,
    found: &mut Diagnostics,
) -> Checked<Vec<Checked<Layered<T::Partial>>>> {
    let declared = file
        .required("vms", found)
        .cloned()
        .and_then(|field| declarations(&field, words.sources, found));
    let defaults = file.get("defaults");
    let defaults = defaults.filter(|field| is_map(field, "a map of a VM's keys", found));
    let (declared, failed) = match declared {
        Ok(declared) => (declared, None),
        Err(reported) => (Declarations::default(), Some(reported)),
    };
    let mut layers = Layers {
        defaults: defaults.map(|field| (&field.key, field.node)),
        profiles: profiles(file.get("profiles"), found),
        ranges: declared.ranges,
        vars: words.vars.map_or(0..0, |vars| vars.extent.clone()),
        merged: BTreeMap::new(),
        room: Room::default(),
        root: file.map,
    };
    let vms = declared.vms.iter().enumerate();
    let vms: Vec<_> = vms
        .map(|(number, vm)| layers.vm::<T>(number, vm, words, found))
        .collect();
    found.end_turns();
    // So many are not checked, either.
    layers.room.check()?;
    layers.read_alone::<T>(words, found);
    match failed {
        Some(reported) => Err(reported),
        None => Ok(vms),
    }
}

/// Whether a field is a map, or nothing; reports it otherwise.
fn is_map(field: &Field<'_>, wanted: &str, found: &mut Diagnostics) -> bool {
    let fits = matches!(field.node.value, Value::Null | Value::Map(_));
    if !fits {
        wrong_type(field, wanted, found);
    }
    fits
}

fn profiles<'n>(
    field: Option<&Field<'n>>,
    found: &mut Diagnostics,
) -> BTreeMap<&'n str, (&'n Node, &'n Node)> {
    let mut profiles = BTreeMap::new();
    let Some(field) = field.filter(|field| is_map(field, "a map from names to profiles", found))
    else {
        return profiles;
    };
    let Value::Map(entries) = &field.node.value else {
        return profiles;
    };
    let mut seen = BTreeMap::new();
    for (key, body) in entries {
        let Ok(name) = key_text(key, found) else {
            continue;
        };
        if found.patience().is_err() || first_time(&mut seen, name, key, found).is_err() {
            continue;
        }
        // The rule for names is one for all.
        if let Err(why) = name.parse::<VmName>() {
            found.report(at(ProblemKind::WrongValue, key, why.0));
        }
        if !matches!(body.value, Value::Null | Value::Map(_)) {
            let message = format!(
                "a profile is a map of a VM's keys, not {}",
                describe(&body.value)
            );
            found.report(at(ProblemKind::WrongType, body, message));
        }
        if let Some((key, _)) = body.entry("profile") {
            let problem = at(
                ProblemKind::UnknownKey,
                key,
                "a profile has no profile of its own",
            );
            found
                .report(problem.help("a VM has one profile; write the keys of the other one here"));
        }
        profiles.insert(name, (key, body));
    }
    profiles
}

impl<'n> Layers<'n> {
    fn vm<T: Readable>(
        &mut self,
        number: usize,
        declared: &DeclaredVm<'n>,
        words: Placeholders<'_>,
        found: &mut Diagnostics,
    ) -> Checked<Layered<T::Partial>> {
        found.patience()?;
        self.room.check()?;
        let name = declared.name.as_ref().map_err(|reported| *reported);
        let words = Placeholders {
            name: Some(name.map(VmName::as_str)),
            index: declared.index.as_deref().map(Ok),
            ..words
        };
        let mut parts = self.parts(declared);
        found.turn(number, &parts);
        let profile = self.profile(declared, words, found);
        if let Ok(Some((used, name))) = &profile
            && let Some((_, body)) = self.profiles.get(name)
        {
            let by = declared.by();
            let (extent, used) = (body.extent(), used.clone());
            parts.push(Layer { extent, used, by });
            found.turn(number, &parts);
        }
        let known = profile
            .as_ref()
            .ok()
            .cloned()
            .flatten()
            .map(|(_, name)| name);
        let base = self.base(known, declared.range);
        let merged = match declared.own.filter(|own| !matches!(own.value, Value::Null)) {
            Some(own) => &merge(&base, own),
            None => base.as_ref(),
        };
        let node = words.expand(merged, &mut self.room, found)?;
        let name = name.map(|name| Spanned::new(name.clone(), &declared.key.range));
        let scope = Scope {
            sources: words.sources,
            root: self.root,
            vm: name.as_ref().map_err(|reported| *reported),
        };
        let field = Field::of_map(&declared.key.range, &node);
        let read = |found: &mut Diagnostics| T::read(&field, scope, found);
        let vm = match profile {
            Ok(_) => read(found),
            // What the profile would have said is not missing.
            Err(_) => found.alone(read),
        };
        vm.map(|vm| Layered { vm, layers: parts })
    }

    /// The parts of the files that a VM is made of, besides its own and its profile.
    fn parts(&self, declared: &DeclaredVm<'_>) -> Vec<Layer> {
        let mut extents = vec![self.vars.clone()];
        extents.extend(self.defaults.map(|(_, node)| node.extent()));
        let range = declared.range.and_then(|range| self.ranges.get(range));
        let range = range.filter(|_| declared.own.is_some());
        extents.extend(range.map(|(_, body)| body.extent()));
        let part = |extent| Layer {
            extent,
            used: declared.key.range.clone(),
            by: declared.by(),
        };
        extents.into_iter().map(part).collect()
    }

    /// The profile that a VM names, and where.
    fn profile(
        &mut self,
        declared: &DeclaredVm<'n>,
        words: Placeholders<'_>,
        found: &mut Diagnostics,
    ) -> Checked<Option<(Range<usize>, &'n str)>> {
        let range = declared.range.and_then(|range| self.ranges.get(range));
        let range = range.map(|(_, body)| *body);
        let defaults = self.defaults.map(|(_, body)| body);
        let strongest = [declared.own, range, defaults].into_iter().flatten();
        let Some((key, value)) = strongest.filter_map(|layer| layer.entry("profile")).next() else {
            return Ok(None);
        };
        let node = words.expand(value, &mut self.room, found)?;
        let written = match &node.value {
            Value::Null => return Ok(None),
            Value::Unreadable(reported) => return Err(*reported),
            Value::Scalar(text, _) => text,
            _ => {
                let field = Field {
                    name: "profile".to_owned(),
                    ..Field::of_map(&key.range, &node)
                };
                return Err(wrong_type(&field, "a profile's name", found));
            }
        };
        match self.profiles.get_key_value(written.as_str()) {
            Some((name, _)) => Ok(Some((node.range.clone(), name))),
            None => Err(found.report(self.unknown_profile(written, &node))),
        }
    }

    fn unknown_profile(&self, written: &str, node: &Node) -> Problem {
        let known = || self.profiles.keys().copied();
        let problem = at(
            ProblemKind::UnknownProfile,
            node,
            format!("there is no profile `{written}`"),
        );
        match nearest(written, known()) {
            Some(near) => mend(problem.label(format!("did you mean `{near}`?")), node, near),
            None if self.profiles.is_empty() => {
                problem.help(format!("declare it: `profiles: {{ {written}: {{ … }} }}`"))
            }
            None => problem.help(format!("there are {}", listed(known().take(20), "and"))),
        }
    }

    /// What is said about every VM with a certain profile that is of a certain range.
    fn base(&mut self, profile: Option<&'n str>, range: Option<usize>) -> Rc<Node> {
        if let Some(base) = self.merged.get(&(profile, range)) {
            return Rc::clone(base);
        }
        let profile_body = profile.and_then(|name| self.profiles.get(name));
        let range_body = range.and_then(|range| self.ranges.get(range));
        let layers = [
            self.defaults.map(|(_, body)| body),
            profile_body.map(|(_, body)| *body),
            range_body.map(|(_, body)| *body),
        ];
        let said = layers.into_iter().flatten();
        let said = said.filter(|body| !matches!(body.value, Value::Null));
        let base = said.fold(nothing(), |weak, strong| merge(&weak, strong));
        let base = Rc::new(base);
        self.merged.insert((profile, range), Rc::clone(&base));
        base
    }

    /// Reads each layer for itself, too: what is wrong with a profile is told even if no VM has it, and what every VM
    /// says differently can still be wrong.
    fn read_alone<T: Readable>(&mut self, words: Placeholders<'_>, found: &mut Diagnostics) {
        let open = Diagnostics::left_open();
        let words = Placeholders {
            name: Some(Err(open)),
            index: Some(Err(open)),
            ..words
        };
        let scope = Scope {
            sources: words.sources,
            root: self.root,
            vm: Err(open),
        };
        let profiles = self.profiles.values().filter(|(_, body)| is_said(body));
        let ranges = self.ranges.iter().filter(|(_, body)| is_said(body));
        let defaults = self.defaults.filter(|(_, body)| is_said(body));
        let layers = profiles
            .chain(ranges)
            .map(|(key, body)| (&key.range, *body));
        for (key, body) in layers.chain(defaults) {
            if found.patience().is_err() {
                return;
            }
            found.alone(|found| {
                if let Ok(node) = words.expand(body, &mut self.room, found) {
                    let _partial = T::read(&Field::of_map(key, &node), scope, found);
                }
            });
        }
    }
}

fn is_said(body: &Node) -> bool {
    matches!(body.value, Value::Map(_))
}

/// A map without entries.
fn nothing() -> Node {
    Node {
        range: 0..0,
        alias: None,
        value: Value::Map(Vec::new()),
    }
}

impl DeclaredVm<'_> {
    /// What to call it where its values are used.
    fn by(&self) -> String {
        self.name
            .as_ref()
            .map_or_else(|_| "a VM".to_owned(), VmName::to_string)
    }
}
