//! What happens to files and folders, as the kernel tells (inotify, fanotify).

use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;
use std::io::{BufRead as _, BufReader, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

/// Files and folders of which every write, attribute and name is seen, whoever does it, and every opening.
pub(crate) struct Watched {
    changes: OwnedFd,
    opens: Option<Mutex<Opens>>,
}

/// Who opens them.
struct Opens {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Watched {
    /// Watches these from now on, whoever opens them: nobody else can.
    #[allow(dead_code, reason = "not every suite has places of its own")]
    pub(crate) fn new<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self {
            changes: changes(paths, WatchFlags::OPEN),
            opens: None,
        }
    }

    /// Watches these from now on, where strangers may open them, such as one who searches the machine for a file: only what
    /// this process opens is seen.
    #[allow(dead_code, reason = "not every suite has strangers")]
    pub(crate) fn by_this_process<P: AsRef<Path>>(paths: &[P]) -> Self {
        Self {
            changes: changes(paths, WatchFlags::empty()),
            opens: Some(Mutex::new(Opens::begin(paths))),
        }
    }

    /// What happened to them since they were asked last.
    pub(crate) fn events(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 64 << 10];
        let mut reader = inotify::Reader::new(&self.changes, &mut buffer);
        let mut seen = match &self.opens {
            Some(opens) => opens.lock().unwrap().events(),
            None => Vec::new(),
        };
        loop {
            match reader.next() {
                Ok(event) => seen.push(format!("{:?} {:?}", event.events(), event.file_name())),
                Err(Errno::AGAIN) => return seen,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn changes<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>, more: WatchFlags) -> OwnedFd {
    use WatchFlags as W;
    let events = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let changes = more | W::MODIFY | W::ATTRIB | W::CREATE | W::DELETE | W::MOVE;
    for path in paths {
        inotify::add_watch(&events, path.as_ref(), changes).unwrap();
    }
    events
}

impl Opens {
    fn begin<P: AsRef<Path>>(paths: &[P]) -> Self {
        let mut process = Command::new("python3")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/harness/opened.py"
            ))
            .arg(std::process::id().to_string())
            .args(paths.iter().map(AsRef::as_ref))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3, which tests/sandbox/prerequisites installs");
        let to = process.stdin.take().unwrap();
        let from = BufReader::new(process.stdout.take().unwrap());
        let mut opens = Self { process, to, from };
        assert_eq!(opens.hear(), "ready");
        opens
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "who watches has ended");
        line.trim_end().to_owned()
    }

    fn events(&mut self) -> Vec<String> {
        self.to.write_all(b"\n").unwrap();
        let events = std::iter::from_fn(|| Some(self.hear()).filter(|event| !event.is_empty()));
        events.collect()
    }
}

impl Drop for Opens {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
