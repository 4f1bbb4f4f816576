//! Files as a commit has them, read with git.

use super::exit::Exit;
use super::terminal;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A commit of the repository that some files are in.
pub(super) struct Commit {
    /// As the user calls it.
    rev: String,
    id: String,
    /// The working tree's root, without links.
    top: PathBuf,
    objects: RefCell<Objects>,
}

/// What a commit has at a path. Links within the commit are followed.
pub(super) enum AtCommit {
    File(Vec<u8>),
    /// More bytes than were asked for.
    TooLarge,
    Folder,
    Absent,
    /// A link leads out of the repository.
    Outside,
}

/// A git process that gives one object after the other.
struct Objects {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Commit {
    /// Finds a commit of the repository that a folder is in.
    pub(super) fn find(rev: &str, folder: &Path) -> Result<Self, Exit> {
        let remedy = "work in a git repository, or compare two files: armfleet diff OLD NEW";
        let top = git(folder, &["rev-parse", "--show-toplevel"], remedy)?;
        let remedy = format!(
            "name a commit, a branch or a tag that is here; git fetch origin {rev} brings one that is not"
        );
        let commit = format!("{rev}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--end-of-options", &commit];
        let id = git(folder, &arguments, &remedy)?;
        let top = PathBuf::from(OsStr::from_bytes(&top));
        let objects = Objects::open(&top).map_err(|error| not_run(error, "cat-file"))?;
        Ok(Self {
            rev: rev.to_owned(),
            id: String::from_utf8_lossy(&id).into_owned(),
            top,
            objects: RefCell::new(objects),
        })
    }

    /// A file or folder of the working tree, as it was, by its absolute path without links.
    pub(super) fn at(&self, path: &Path, limit: u64) -> Result<AtCommit, Exit> {
        let object = self.object(path)?;
        let mut objects = self.objects.borrow_mut();
        let seen = objects.read(&object, limit);
        seen.map_err(|error| not_run(error, "cat-file"))
    }

    /// The names in a folder.
    pub(super) fn names_in(&self, folder: &Path) -> Result<Vec<String>, Exit> {
        let object = self.object(folder)?;
        let object = String::from_utf8_lossy(&object).into_owned();
        let listed = git(&self.top, &["ls-tree", "-z", "--name-only", &object], "")?;
        let names = listed
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty());
        Ok(names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }

    /// What a path is called in messages about the commit, as git has it.
    pub(super) fn name_of(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.top).unwrap_or(path);
        format!("{}:{}", self.rev, inside.display())
    }

    fn object(&self, path: &Path) -> Result<Vec<u8>, Exit> {
        let inside = path.strip_prefix(&self.top).map_err(|_| {
            let error = Outside(path.display().to_string(), self.top.display().to_string());
            terminal::error(&error, Some("compare files of one repository"));
            Exit::Invalid
        })?;
        let mut object = format!("{}:", self.id).into_bytes();
        object.extend(inside.as_os_str().as_bytes());
        Ok(object)
    }
}

impl Objects {
    fn open(top: &Path) -> io::Result<Self> {
        let mut process = Command::new("git")
            .arg("-C")
            .arg(top)
            .args(["cat-file", "--batch", "--follow-symlinks"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (ask, answers) = (process.stdin.take(), process.stdout.take());
        let (Some(ask), Some(answers)) = (ask, answers) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let answers = BufReader::new(answers);
        Ok(Self {
            process,
            ask,
            answers,
        })
    }

    fn read(&mut self, object: &[u8], limit: u64) -> io::Result<AtCommit> {
        if object.contains(&b'\n') {
            // It would be two questions.
            return Ok(AtCommit::Absent);
        }
        self.ask.write_all(&[object, b"\n"].concat())?;
        self.ask.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if answer.trim_end().ends_with(" missing") {
            return Ok(AtCommit::Absent);
        }
        let (what, size) = answer.trim_end().rsplit_once(' ').unwrap_or_default();
        let size: u64 = size.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        let mut bytes = Vec::new();
        let kept = size.min(limit);
        (&mut self.answers).take(kept).read_to_end(&mut bytes)?;
        // The rest, and a line's end.
        let rest = io::copy(
            &mut (&mut self.answers).take(size - kept + 1),
            &mut io::sink(),
        )?;
        if bytes.len() as u64 + rest != size + 1 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(match what {
            "symlink" => AtCommit::Outside,
            "dangling" | "loop" | "notdir" => AtCommit::Absent,
            what if what.ends_with(" tree") => AtCommit::Folder,
            _ if size > limit => AtCommit::TooLarge,
            _ => AtCommit::File(bytes),
        })
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// What git prints, without the end of its last line.
fn git(folder: &Path, arguments: &[&str], remedy: &str) -> Result<Vec<u8>, Exit> {
    let command = arguments[0];
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output();
    let output = output.map_err(|error| not_run(error, command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned();
        terminal::error(
            &Failed(command.to_owned(), Said(said)),
            Some(remedy).filter(|text| !text.is_empty()),
        );
        return Err(Exit::Invalid);
    }
    let mut printed = output.stdout;
    if printed.last() == Some(&b'\n') {
        printed.pop();
    }
    Ok(printed)
}

fn not_run(error: io::Error, command: &str) -> Exit {
    let remedy = (error.kind() == io::ErrorKind::NotFound)
        .then_some("apt install git, or compare two files: armfleet diff OLD NEW");
    terminal::error(&NotRun(command.to_owned(), error), remedy);
    Exit::Invalid
}

#[derive(Debug, thiserror::Error)]
#[error("git {0} failed")]
struct Failed(String, #[source] Said);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

#[derive(Debug, thiserror::Error)]
#[error("cannot run git {0}")]
struct NotRun(String, #[source] io::Error);

#[derive(Debug, thiserror::Error)]
#[error("{0} is not in the repository {1}")]
struct Outside(String, String);
