//! What a VM is made of, the weakest first: `defaults`, its profile, the range that it is of, and its own keys.

use super::declarations::{Declarations, DeclaredVm, declarations};
use super::expand::Placeholders;
use super::fields::{Field, Fields, Scope, listed};
use super::merge::merge;
use super::readable::Readable;
use super::suggest::nearest;
use crate::problem::{Checked, Diagnostics, Layer, Problem, ProblemKind};
use crate::values::VmName;
use crate::yaml::{Node, Value, at, describe, suggest};
use std::collections::BTreeMap;
use std::ops::Range;

/// A VM that was read, what came of its texts, and the parts of the files that it is made of, besides its own.
#[derive(Debug)]
pub(crate) struct Layered<P, X> {
    pub(crate) vm: P,
    pub(crate) texts: X,
    pub(crate) layers: Vec<Layer>,
}

/// VMs that were read.
pub(crate) type LayeredVms<T, X> = Vec<Checked<Layered<<T as Readable>::Partial, X>>>;

/// What is read for a VM besides its keys, while it is known what placeholders stand for.
pub(crate) type Texts<'t, T, X> = &'t dyn Fn(&<T as Readable>::Partial, &Placeholders<'_>) -> X;

/// What VMs are made of, besides their own keys.
struct Layers<'n> {
    defaults: Option<&'n Node>,
    profiles: BTreeMap<&'n str, (&'n Node, &'n Node)>,
    /// `defaults`, a profile and a range merged, by where profile and range begin.
    merged: BTreeMap<[Option<usize>; 2], Node>,
    words: Placeholders<'n>,
}

/// Reads all VMs. `words` are what placeholders stand for, apart from the VM's own name.
pub(crate) fn layered<T: Readable, X>(
    file: &Fields<'_>,
    words: Placeholders<'_>,
    texts: Texts<'_, T, X>,
) -> Checked<LayeredVms<T, X>> {
    let declared = file.required("vms").and_then(declarations);
    let none = Declarations::default();
    let Declarations { vms, ranges } = declared.as_ref().unwrap_or(&none);
    let defaults = file.get("defaults").filter(|field| {
        let is_map = matches!(field.node.value, Value::Null | Value::Map(_));
        if !is_map {
            field.wrong_type("a map of a VM's keys");
        }
        is_map
    });
    let mut layers = Layers {
        defaults: defaults.map(|field| field.node),
        profiles: file.get("profiles").map(profiles).unwrap_or_default(),
        merged: BTreeMap::new(),
        words,
    };
    let vms = vms.iter().enumerate();
    let vms = vms.map(|(number, vm)| layers.vm::<T, X>(number, vm, texts));
    let vms = vms.collect();
    words.scope.found.turn(None, &[]);
    // So many are not checked, either.
    words.room.check()?;
    layers.read_alone::<T>(ranges, defaults);
    declared.map(|_| vms)
}

fn profiles<'n>(field: &Field<'n>) -> BTreeMap<&'n str, (&'n Node, &'n Node)> {
    let entries = field.entries("a map from names to profiles");
    let profiles = entries.into_iter().flatten();
    let profiles = profiles.inspect(|(name, key, body)| {
        // The rule for names is one for all.
        if let Err(why) = name.parse::<VmName>() {
            field.report(at(ProblemKind::WrongValue, key, why.0));
        }
        if !matches!(body.value, Value::Null | Value::Map(_)) {
            let other = describe(&body.value);
            let message = format!("a profile is a map of a VM's keys, not {other}");
            field.report(at(ProblemKind::WrongType, body, message));
        }
        if let Some((key, _)) = body.entry("profile") {
            let message = "a profile has no profile of its own";
            let help = "a VM has one profile; write the keys of the other one here";
            field.report(at(ProblemKind::UnknownKey, key, message).help(help));
        }
    });
    profiles
        .map(|(name, key, body)| (name, (key, body)))
        .collect()
}

impl<'n> Layers<'n> {
    fn vm<T: Readable, X>(
        &mut self,
        number: usize,
        declared: &DeclaredVm<'n>,
        texts: Texts<'_, T, X>,
    ) -> Checked<Layered<T::Partial, X>> {
        let found = self.words.scope.found;
        found.patience()?;
        self.words.room.check()?;
        let scope = Scope {
            vm: Some(declared.name.as_ref().map_err(|reported| *reported)),
            ..self.words.scope
        };
        let words = Placeholders {
            index: declared.index.as_deref().map(Ok),
            scope,
            ..self.words
        };
        let mut layers = self.parts(declared);
        found.turn(Some(number), &layers);
        let profile = self.profile(declared, words);
        let known = profile.as_ref().ok().and_then(Option::as_ref);
        if let Some((layer, _)) = known {
            layers.push(layer.clone());
            found.turn(Some(number), &layers);
        }
        let base = self.base(known.map(|(_, body)| *body), declared.range);
        let own = declared.own.filter(|own| !matches!(own.value, Value::Null));
        let merged = own.map_or_else(|| base.clone(), |own| merge(base, own));
        let node = words.expand(&merged)?;
        let field = Field::of_map(&declared.key.range, &node, scope);
        let vm = match profile {
            Ok(_) => T::read(&field)?,
            // What the profile would have said is not missing.
            Err(_) => found.alone(|| T::read(&field))?,
        };
        let texts = texts(&vm, &words);
        Ok(Layered { vm, texts, layers })
    }

    /// The parts of the files that a VM is made of, besides its own and its profile.
    fn parts(&self, declared: &DeclaredVm<'_>) -> Vec<Layer> {
        let vars = self.words.vars.map_or(0..0, |vars| vars.extent.clone());
        let range = declared.range.filter(|_| declared.own.is_some());
        let bodies = [self.defaults, range]
            .into_iter()
            .flatten()
            .map(Node::extent);
        let extents = [vars].into_iter().chain(bodies);
        let layer = |extent| declared.layer(extent, &declared.key.range);
        extents.map(layer).collect()
    }

    /// The VM's profile, as a layer and what it says.
    fn profile(
        &self,
        declared: &DeclaredVm<'n>,
        words: Placeholders<'_>,
    ) -> Checked<Option<(Layer, &'n Node)>> {
        let mut strongest = [declared.own, declared.range, self.defaults]
            .into_iter()
            .flatten();
        let Some((key, value)) = strongest.find_map(|layer| layer.entry("profile")) else {
            return Ok(None);
        };
        let node = words.expand(value)?;
        if matches!(node.value, Value::Null) {
            return Ok(None);
        }
        let mut field = Field::of_map(&key.range, &node, words.scope);
        "profile".clone_into(&mut field.name);
        let written = field.text("a profile's name")?;
        match self.profiles.get(written) {
            Some((_, body)) => Ok(Some((declared.layer(body.extent(), &node.range), body))),
            None => Err(self
                .unknown_profile(written, &node)
                .report(words.scope.found)),
        }
    }

    fn unknown_profile(&self, written: &str, node: &Node) -> Problem {
        let known = || self.profiles.keys().copied();
        let message = format!("there is no profile `{written}`");
        let problem = at(ProblemKind::UnknownProfile, node, message);
        match nearest(written, known()) {
            Some(near) => suggest(problem, node, near),
            None if self.profiles.is_empty() => {
                problem.help(format!("declare it: `profiles: {{ {written}: {{ … }} }}`"))
            }
            None => problem.help(format!("there are {}", listed(known().take(20), "and"))),
        }
    }

    /// `defaults`, a profile and a range merged, once for all VMs that share them.
    fn base(&mut self, profile: Option<&'n Node>, range: Option<&'n Node>) -> &Node {
        let defaults = self.defaults;
        let begin = [profile, range].map(|body| body.map(|body| body.range.start));
        self.merged.entry(begin).or_insert_with(|| {
            let nothing = Node::new(0..0, Value::Map([].into()));
            let layers = [defaults, profile, range].into_iter().flatten();
            let said = layers.filter(|body| !matches!(body.value, Value::Null));
            said.fold(nothing, |weak, strong| merge(&weak, strong))
        })
    }

    /// Reads each layer by itself, too: a mistake in a profile is reported even if no VM has it, or if every VM overrides
    /// what is wrong.
    fn read_alone<T: Readable>(&self, ranges: &[(&Node, &Node)], defaults: Option<&Field<'_>>) {
        let open = Some(Err(Diagnostics::left_open()));
        let scope = Scope {
            vm: open,
            ..self.words.scope
        };
        let words = Placeholders {
            index: Some(Err(Diagnostics::left_open())),
            scope,
            ..self.words
        };
        let entries = self.profiles.values().chain(ranges);
        let entries = entries.map(|(key, body)| (&key.range, *body));
        let layers = entries.chain(defaults.map(|field| (&field.key, field.node)));
        for (key, body) in layers.filter(|(_, body)| matches!(body.value, Value::Map(_))) {
            if scope.found.patience().is_err() {
                return;
            }
            let _reported: Checked<T::Partial> = scope.found.alone(|| {
                let node = words.expand(body)?;
                T::read(&Field::of_map(key, &node, scope))
            });
        }
    }
}

impl DeclaredVm<'_> {
    /// A part of the files that it takes values from; `used` is where it says so.
    fn layer(&self, extent: Range<usize>, used: &Range<usize>) -> Layer {
        let name = self.name.as_ref().map(|name| name.value.to_string());
        Layer {
            extent,
            used: used.clone(),
            by: name.unwrap_or_else(|_| "a VM".to_owned()),
        }
    }
}
