//! What happens to files and folders, as the kernel tells (inotify).

use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Files and folders of which every open, write, attribute and name is seen, whoever does it.
pub(crate) struct Watched(OwnedFd);

impl Watched {
    /// Watches these from now on.
    pub(crate) fn new<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        use WatchFlags as W;
        let events = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let changes = W::OPEN | W::MODIFY | W::ATTRIB | W::CREATE | W::DELETE | W::MOVE;
        for path in paths {
            inotify::add_watch(&events, path.as_ref(), changes).unwrap();
        }
        Self(events)
    }

    /// What happened to them since they were asked last.
    pub(crate) fn events(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 64 << 10];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        let mut seen = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => seen.push(format!("{:?} {:?}", event.events(), event.file_name())),
                Err(Errno::AGAIN) => return seen,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
