//! Hosts as a release left them: see README.md.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// Every release that is frozen.
pub(crate) const RELEASES: [&str; 1] = ["0.1.0"];

/// What identified a file when its release was frozen: device, inode, and both times as text.
struct Identity {
    dev: String,
    ino: String,
    ctime: String,
}

/// The folder of a release.
pub(crate) fn folder(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/releases")
        .join(release)
}

/// Unpacks the files of a release below a folder, and has what armfleet kept name their identities there.
pub(crate) fn lay_out(release: &str, root: &Path) {
    let unpacked = Command::new("tar")
        .args([
            "--extract",
            "--gzip",
            "--numeric-owner",
            "--same-permissions",
        ])
        .args(["--xattrs", "--xattrs-include=*", "--file"])
        .arg(folder(release).join("tree.tar.gz"))
        .arg("--directory")
        .arg(root)
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{unpacked:?}");
    let identities = identities(release);
    let by_inode: BTreeMap<(&str, &str), (&Path, &Identity)> = identities
        .iter()
        .map(|(path, was)| ((was.dev.as_str(), was.ino.as_str()), (path.as_path(), was)))
        .collect();
    let is_kept = |path: &&PathBuf| path.extension().is_some_and(|suffix| suffix == "json");
    for path in identities.keys().filter(is_kept) {
        let path = root.join(path);
        let text = fs::read_to_string(&path).unwrap();
        let times = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, renamed(&text, &by_inode, root)).unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(times)
            .unwrap();
    }
}

fn identities(release: &str) -> BTreeMap<PathBuf, Identity> {
    let text = fs::read_to_string(folder(release).join("identities")).unwrap();
    let read = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, dev, ino, _size, _mtime, ctime] = fields[..] else {
            panic!("{line}");
        };
        let (dev, ino, ctime) = (dev.to_owned(), ino.to_owned(), ctime.to_owned());
        (PathBuf::from(path), Identity { dev, ino, ctime })
    };
    text.lines().map(read).collect()
}

/// A file's text with the present identity of each file that it names: device, inode, birth, and the time of the last change
/// where it was the file's. Everything else stays, byte by byte.
fn renamed(
    text: &str,
    by_inode: &BTreeMap<(&str, &str), (&Path, &Identity)>,
    root: &Path,
) -> String {
    let value = |line: &str| {
        let value = line.split_once(':').map_or(line, |(_, value)| value);
        value.trim().trim_end_matches(',').to_owned()
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut renamed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut set = |at: usize, new: String| {
        let old = value(lines[at]);
        renamed[at] = lines[at].replace(&old, &new);
    };
    for (at, line) in lines.iter().enumerate() {
        if !line.trim_start().starts_with("\"ino\":") {
            continue;
        }
        let (ino, dev_at) = (value(line), at.checked_sub(1));
        let dev_at = dev_at.filter(|at| lines[*at].trim_start().starts_with("\"dev\":"));
        // The stamp of a run is one of the hook's; a record names images and shares. Neither names a device.
        let dev = dev_at.map(|at| value(lines[at]));
        let found = by_inode.iter().find(|((was_dev, was_ino), (path, _))| {
            let same_place = match &dev {
                Some(dev) => dev == was_dev,
                None => path.starts_with("run/armfleet/hook-seen") || path.starts_with("srv"),
            };
            *was_ino == ino && same_place
        });
        let Some((_, (path, was))) = found else {
            continue;
        };
        let now = fs::symlink_metadata(root.join(path)).unwrap();
        set(at, now.ino().to_string());
        let next = lines
            .get(at + 1)
            .is_some_and(|line| line.contains("\"born_ns\":"));
        if let (true, Ok(born)) = (next, now.created()) {
            let born = born.duration_since(UNIX_EPOCH).unwrap().as_nanos();
            set(at + 1, born.to_string());
        }
        if let Some(dev_at) = dev_at {
            set(dev_at, now.dev().to_string());
            // "size", "mtime": [ seconds, rest ], "ctime": [ seconds, rest ]
            let (seconds, rest) = (at + 7, at + 8);
            if was.ctime == format!("{}.{:0>9}0", value(lines[seconds]), value(lines[rest])) {
                set(seconds, now.ctime().to_string());
                set(rest, now.ctime_nsec().to_string());
            }
        }
    }
    renamed.join("\n") + "\n"
}
