//! Which source file uses which: read from the syntax of each, without what is compiled for tests only.

use std::collections::{BTreeMap, BTreeSet};

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// A path of a module: the names from the crate's root on.
type Module = Vec<String>;

/// The source files of a crate.
pub(crate) struct House {
    files: BTreeMap<String, syn::File>,
    /// Where each module is.
    modules: BTreeMap<Module, String>,
    /// What the face of a module hands on: where it comes from, by its name there.
    handed_on: BTreeMap<Module, BTreeMap<String, Module>>,
}

/// What one file names, as it names it.
struct Names<'h> {
    house: &'h House,
    module: Module,
    used: BTreeSet<Module>,
}

impl House {
    /// The files by their paths below `src`.
    pub(crate) fn read(sources: &BTreeMap<String, String>) -> Self {
        let files: BTreeMap<String, syn::File> = sources
            .iter()
            .map(|(name, text)| (name.clone(), syn::parse_file(&without_tests(text)).unwrap()))
            .collect();
        let modules = files.keys().map(|name| (module_of(name), name.clone()));
        let mut house = Self {
            modules: modules.collect(),
            files,
            handed_on: BTreeMap::new(),
        };
        house.handed_on = house
            .modules
            .iter()
            .map(|(module, name)| (module.clone(), house.hands_on(module, name)))
            .collect();
        house
    }

    fn hands_on(&self, module: &Module, name: &str) -> BTreeMap<String, Module> {
        let mut handed_on = BTreeMap::new();
        for item in &self.files[name].items {
            let syn::Item::Use(used) = item else { continue };
            if !matches!(used.vis, syn::Visibility::Inherited) {
                // One name alone is a macro of the same file.
                let others = leaves(&used.tree)
                    .into_iter()
                    .filter(|(path, _)| path.len() > 1);
                for (path, as_name) in others {
                    handed_on.insert(as_name, self.absolute(module, &path).unwrap_or(path));
                }
            }
        }
        handed_on
    }

    /// The arrows of the house: each file with the files that it uses.
    pub(crate) fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let arrows = self.files.iter().map(|(name, file)| {
            let mut names = Names {
                house: self,
                module: module_of(name),
                used: BTreeSet::new(),
            };
            names.visit_file(file);
            let used = names.used.iter().filter_map(|path| self.file_of(path, 0));
            (name.as_str(), used.filter(|used| *used != name).collect())
        });
        arrows.collect()
    }

    /// Files that use each other in a circle; none of them is in two answers.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<&str>> {
        let arrows = self.arrows();
        let reached: BTreeMap<&str, BTreeSet<&str>> = arrows
            .keys()
            .map(|file| (*file, reach(&arrows, file)))
            .collect();
        let circle = |file: &&str| -> BTreeSet<&str> {
            let back = |other: &&&str| reached[**other].contains(*file);
            reached[*file].iter().filter(back).copied().collect()
        };
        let circles: BTreeSet<BTreeSet<&str>> = reached.keys().map(circle).collect();
        circles
            .into_iter()
            .filter(|circle| !circle.is_empty())
            .collect()
    }

    /// The functions that have more lines than this, each with their number.
    pub(crate) fn long_functions(&self, limit: usize) -> Vec<String> {
        let mut long = Vec::new();
        for (name, file) in &self.files {
            let mut functions = Functions {
                limit,
                long: Vec::new(),
            };
            functions.visit_file(file);
            long.extend(
                functions
                    .long
                    .into_iter()
                    .map(|found| format!("src/{name}: {found}")),
            );
        }
        long
    }

    /// A path as it stands in a module, from the crate's root on; none for another crate's.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut base = module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" | "armfleet" => {
                base.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child = [module.as_slice(), &[first.to_owned()]].concat();
                if !self.modules.contains_key(&child) {
                    return None;
                }
            }
        }
        Some([base.as_slice(), rest].concat())
    }

    /// The file in which what a path names is defined.
    fn file_of(&self, path: &Module, depth: usize) -> Option<&str> {
        let module = (0..=path.len())
            .rev()
            .map(|length| &path[..length])
            .find(|module| self.modules.contains_key(*module))?;
        let handed_on = self.handed_on.get(module);
        if let (Some(name), true) = (path.get(module.len()), depth < 9)
            && let Some(from) = handed_on.and_then(|names| names.get(name))
        {
            let rest = &path[module.len() + 1..];
            return self.file_of(&[from.as_slice(), rest].concat(), depth + 1);
        }
        self.modules.get(module).map(String::as_str)
    }
}

impl Names<'_> {
    fn add(&mut self, path: &[String]) {
        // `crate` alone is of a visibility.
        if path == ["crate"] {
            return;
        }
        self.used.extend(self.house.absolute(&self.module, path));
    }

    /// Paths in what a macro is given, which no parser has understood.
    fn add_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                proc_macro2::TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(&std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.add(&std::mem::take(&mut path));
                    colons = 0;
                    if let proc_macro2::TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add(&path);
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_use(&mut self, used: &'ast syn::ItemUse) {
        // What a face hands on is not its own need.
        if matches!(used.vis, syn::Visibility::Inherited) {
            for (path, _) in leaves(&used.tree) {
                self.add(&path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if names.len() > 1 {
            self.add(&names);
        }
        visit::visit_path(self, path);
    }

    /// Whom something is shown to is no need of it.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.add_tokens(called.tokens.clone());
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }
}

struct Functions {
    limit: usize,
    long: Vec<String>,
}

impl Functions {
    fn see(&mut self, name: &syn::Ident, block: &syn::Block) {
        let span = block.brace_token.span;
        let lines = span.close().end().line - span.open().start().line + 1;
        if lines > self.limit {
            self.long.push(format!("{name} has {lines} lines"));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.see(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.see(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

/// The module that a file is.
fn module_of(name: &str) -> Module {
    let path = name.trim_end_matches(".rs");
    let parts = path
        .split('/')
        .filter(|part| !matches!(*part, "lib" | "mod"));
    parts.map(str::to_owned).collect()
}

/// Every path that a `use` names, with the name that it has afterwards.
fn leaves(tree: &syn::UseTree) -> Vec<(Module, String)> {
    match tree {
        syn::UseTree::Path(path) => {
            let first = path.ident.to_string();
            let below = leaves(&path.tree).into_iter();
            below
                .map(|(rest, name)| {
                    let name = if name == "self" { first.clone() } else { name };
                    let rest = rest.into_iter().filter(|part| part != "self");
                    (std::iter::once(first.clone()).chain(rest).collect(), name)
                })
                .collect()
        }
        syn::UseTree::Name(name) => {
            let name = name.ident.to_string();
            vec![(vec![name.clone()], name)]
        }
        syn::UseTree::Rename(renamed) => {
            vec![(vec![renamed.ident.to_string()], renamed.rename.to_string())]
        }
        syn::UseTree::Glob(_) => vec![(Vec::new(), "*".to_owned())],
        syn::UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

/// A source file's text without the items that are compiled for tests only.
pub(crate) fn without_tests(text: &str) -> String {
    let file = syn::parse_file(text).unwrap();
    let of_tests = file
        .items
        .iter()
        .filter(|item| is_for_tests(attributes(item)));
    let dropped: Vec<_> = of_tests
        .map(|item| (item.span().start().line, item.span().end().line))
        .collect();
    let is_kept = |number: usize| {
        !dropped
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
    };
    let lines = text.lines().enumerate().filter(|(at, _)| is_kept(at + 1));
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    let is_cfg_test = |attribute: &syn::Attribute| {
        let is_test = |meta: syn::Ident| meta == "test";
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(is_test)
    };
    attributes.iter().any(is_cfg_test)
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn reach<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = arrows[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(&arrows[file]);
        }
    }
    reached
}
