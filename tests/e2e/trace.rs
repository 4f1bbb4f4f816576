//! What strace saw of processes: the paths that their system calls tried to change.

mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// Where a call says what it changes, each by the number of its argument.
enum Names {
    /// A path of its own.
    Path(usize),
    /// A folder, and after it the way from there.
    Below(usize),
    /// An open file.
    File(usize),
}

use Names::{Below, File, Path};

/// The calls that open a file, or change what is at a path. Those with a `?` are not known to every processor.
const CHANGING: [(&str, &[Names]); 37] = [
    ("?open", &[Path(0)]),
    ("openat", &[Below(0)]),
    ("openat2", &[Below(0)]),
    ("?creat", &[Path(0)]),
    ("?chown", &[Path(0)]),
    ("?lchown", &[Path(0)]),
    ("fchown", &[File(0)]),
    ("fchownat", &[Below(0)]),
    ("?chmod", &[Path(0)]),
    ("fchmod", &[File(0)]),
    ("fchmodat", &[Below(0)]),
    ("?rename", &[Path(0), Path(1)]),
    ("?renameat", &[Below(0), Below(2)]),
    ("renameat2", &[Below(0), Below(2)]),
    ("?unlink", &[Path(0)]),
    ("unlinkat", &[Below(0)]),
    ("?rmdir", &[Path(0)]),
    ("?mkdir", &[Path(0)]),
    ("mkdirat", &[Below(0)]),
    ("?mknod", &[Path(0)]),
    ("mknodat", &[Below(0)]),
    ("?symlink", &[Path(1)]),
    ("symlinkat", &[Below(1)]),
    ("?link", &[Path(1)]),
    ("linkat", &[Below(2)]),
    ("truncate", &[Path(0)]),
    ("ftruncate", &[File(0)]),
    ("setxattr", &[Path(0)]),
    ("lsetxattr", &[Path(0)]),
    ("fsetxattr", &[File(0)]),
    ("removexattr", &[Path(0)]),
    ("lremovexattr", &[Path(0)]),
    ("fremovexattr", &[File(0)]),
    ("?utime", &[Path(0)]),
    ("?utimes", &[Path(0)]),
    ("?futimesat", &[Below(0)]),
    ("utimensat", &[Below(0)]),
];

const FORKING: [&str; 4] = ["?fork", "?vfork", "clone", "clone3"];

/// What every new thread begins with. strace stops a thread at each of its calls until it has seen one of those it traces,
/// which in QEMU would be millions.
const BEGINNING: &str = "set_robust_list";

/// Options with which strace says what this file reads; what follows is the command, whose process stays the same.
pub(crate) fn strace_options() -> String {
    let changing = CHANGING.iter().map(|(name, _)| *name);
    let calls: Vec<_> = changing
        .chain(FORKING)
        .chain(["execve", BEGINNING])
        .collect();
    let calls = calls.join(",");
    format!("-D -f -qq -y -s 4096 --seccomp-bpf --signal=none -e trace={calls}")
}

/// One system call of a process.
#[derive(Debug)]
struct Call {
    pid: String,
    /// As strace has it, in one piece.
    text: String,
    name: String,
    arguments: Vec<String>,
    result: String,
}

impl Call {
    fn parse(pid: &str, text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        let (arguments, result) = split_arguments(rest);
        Some(Self {
            pid: pid.to_owned(),
            text: text.to_owned(),
            name: name.to_owned(),
            arguments: arguments
                .iter()
                .map(|part| part.trim().to_owned())
                .collect(),
            result: result.trim_start_matches([' ', '=']).to_owned(),
        })
    }

    fn argument(&self, number: usize) -> &str {
        self.arguments.get(number).map_or("", String::as_str)
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        names
            .iter()
            .any(|name| name.trim_start_matches('?') == self.name)
    }

    /// The process that it made.
    fn child(&self) -> Option<&str> {
        let made = self.is_one_of(&FORKING) && !self.result.starts_with('-');
        self.result.split(' ').next().filter(|_| made)
    }

    fn executes(&self, program: &str) -> bool {
        self.name == "execve" && self.argument(0) == format!("\"{program}\"")
    }

    /// What it changes, or tried to; where it opened a file, that file, whatever links led there.
    fn changed(&self) -> Vec<String> {
        let known = CHANGING.iter().find(|(name, _)| self.is_one_of(&[name]));
        let Some((_, names)) = known else {
            return Vec::new();
        };
        let opens = self.is_one_of(&["open", "openat", "openat2", "creat"]);
        if opens && self.name != "creat" && !self.opens_for_writing() {
            return Vec::new();
        }
        if let (true, Some(opened)) = (opens, annotated(&self.result)) {
            return vec![opened];
        }
        names.iter().map(|name| self.path(name)).collect()
    }

    fn opens_for_writing(&self) -> bool {
        let flags = self.arguments.iter().filter(|part| !part.starts_with('"'));
        let flags: String = flags.cloned().collect();
        ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"]
            .iter()
            .any(|flag| flags.contains(flag))
    }

    fn path(&self, named: &Names) -> String {
        match named {
            Path(number) => quoted(self.argument(*number)).unwrap_or_default(),
            File(number) => annotated(self.argument(*number)).unwrap_or_default(),
            Below(number) => {
                let folder = annotated(self.argument(*number)).unwrap_or("?".to_owned());
                match quoted(self.argument(number + 1)) {
                    Some(way) if way.starts_with('/') => way,
                    Some(way) if !way.is_empty() => {
                        format!("{}/{way}", folder.trim_end_matches('/'))
                    }
                    _ => folder,
                }
            }
        }
    }
}

/// Arguments up to the bracket that closes them, and what follows it. Within quotes, brackets and descriptions of open
/// files (`3</a, b>`) nothing separates.
fn split_arguments(text: &str) -> (Vec<&str>, &str) {
    let (mut arguments, mut start, mut depth) = (Vec::new(), 0, 0);
    let (mut until, mut escaped) = (None, false);
    for (at, character) in text.char_indices() {
        match (until, character) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(end), _) if end == character => until = None,
            (Some(_), _) => {}
            (None, '"') => until = Some('"'),
            (None, '<') => until = Some('>'),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')') if depth == 0 => {
                arguments.push(&text[start..at]);
                return (arguments, &text[at + 1..]);
            }
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                arguments.push(&text[start..at]);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    arguments.push(&text[start..]);
    (arguments, "")
}

/// The text of a quoted argument; what strace had to escape in it stays escaped.
fn quoted(argument: &str) -> Option<String> {
    let inside = argument.strip_prefix('"')?.strip_suffix('"')?;
    Some(inside.to_owned())
}

/// The path in strace's description of an open file; of one that never had a name (`/srv/#12`), without its number.
fn annotated(file: &str) -> Option<String> {
    let path = file.split_once('<')?.1.split_once('>')?.0;
    let path = path.trim_end_matches(" (deleted)");
    let nameless = path.trim_end_matches(|character: char| character.is_ascii_digit());
    let path = if nameless.ends_with("/#") {
        nameless
    } else {
        path
    };
    Some(path.to_owned())
}

/// System calls in the order in which they ended.
#[derive(Debug)]
pub(crate) struct Trace(Vec<Call>);

impl Trace {
    pub(crate) fn parse(text: &str) -> Self {
        let mut calls = Vec::new();
        let mut begun = BTreeMap::new();
        for line in text.lines() {
            let (pid, said) = line.split_once(' ').expect("a process and its call");
            let said = said.trim_start();
            if let Some(first) = said.strip_suffix("<unfinished ...>") {
                begun.insert(pid, first.trim_end());
            } else if let Some(resumed) = said.strip_prefix("<... ") {
                let (_, last) = resumed.split_once(" resumed>").expect("the end of a call");
                let first = begun.remove(pid).expect("the call's beginning");
                calls.extend(Call::parse(pid, &format!("{first}{last}")));
            } else {
                calls.extend(Call::parse(pid, said));
            }
        }
        // What never returned may have been done all the same.
        calls.extend(
            begun
                .into_iter()
                .filter_map(|(pid, text)| Call::parse(pid, text)),
        );
        Self(calls)
    }

    /// The calls of processes from when they execute a program on, and those of their children.
    pub(crate) fn of(self, program: &str) -> Self {
        let parents: BTreeMap<_, _> = self
            .0
            .iter()
            .filter_map(|call| Some((call.child()?.to_owned(), call.pid.clone())))
            .collect();
        let mut running = BTreeSet::new();
        let mut kept = Vec::new();
        for call in self.0 {
            if call.executes(program) {
                running.insert(call.pid.clone());
            }
            let ancestors = std::iter::successors(Some(&call.pid), |pid| parents.get(*pid));
            if ancestors.into_iter().any(|pid| running.contains(pid)) {
                kept.push(call);
            }
        }
        Self(kept)
    }

    /// Each path that a call changed or tried to, with the calls.
    pub(crate) fn changes(&self) -> BTreeMap<String, BTreeSet<&str>> {
        let mut changes = BTreeMap::<_, BTreeSet<_>>::new();
        for call in &self.0 {
            for path in call.changed() {
                changes.entry(path).or_default().insert(call.text.as_str());
            }
        }
        changes
    }
}
