//! The disk from which cloud-init reads (its datasource NoCloud): a small FAT file system with the label `CIDATA`. The same
//! texts make the same bytes.

use fatfs::{
    Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider, format_volume,
};
use std::io::{self, Cursor, Write as _};

/// What cloud-init looks for, as a FAT label is written.
const LABEL: [u8; 11] = *b"CIDATA     ";
/// Whatever it is, it is the same every time.
const VOLUME: u32 = 0x4152_4d46;
/// Disks have a multiple of so many bytes.
const STEP: usize = 64 << 10;
/// Above what the file system needs for itself, three names and the ends of three files.
const OVERHEAD: usize = 32 << 10;

/// The earliest time that FAT can tell: a file's own would make other bytes each time.
#[derive(Debug)]
struct NoTime;

const NO_DATE: Date = Date {
    year: 1980,
    month: 1,
    day: 1,
};

impl TimeProvider for NoTime {
    fn get_current_date(&self) -> Date {
        NO_DATE
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time {
            hour: 0,
            min: 0,
            sec: 0,
            millis: 0,
        };
        DateTime {
            date: NO_DATE,
            time,
        }
    }
}

/// The bytes of a disk with these files.
///
/// # Errors
/// None in practice: there is room for every file.
pub(super) fn nocloud_disk(files: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let texts: usize = files.iter().map(|(_, text)| text.len()).sum();
    let mut disk = Cursor::new(vec![0; (texts + OVERHEAD).next_multiple_of(STEP)]);
    let options = FormatVolumeOptions::new()
        .volume_label(LABEL)
        .volume_id(VOLUME);
    format_volume(&mut disk, options)?;
    let options = FsOptions::new().time_provider(&NoTime);
    let volume = FileSystem::new(&mut disk, options)?;
    {
        let root = volume.root_dir();
        for (name, text) in files {
            let mut file = root.create_file(name)?;
            file.write_all(text.as_bytes())?;
            file.flush()?;
        }
    }
    volume.unmount()?;
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::process::{Command, Output};

    fn run(program: &str, arguments: &[&str]) -> Output {
        let command = Command::new(program).args(arguments).output();
        command.unwrap_or_else(|error| panic!("{program}: {error}; see tests/sandbox"))
    }

    #[test]
    fn the_same_texts_make_the_same_disk() {
        let files = [("meta-data", "a\n"), ("user-data", "#!/bin/sh\n")];
        let disk = nocloud_disk(&files).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2100));
        assert!(disk == nocloud_disk(&files).unwrap());
        assert_eq!(disk.len(), STEP);
        let other = [("meta-data", "a\n"), ("user-data", "#!/bin/sh\n\n")];
        assert!(disk != nocloud_disk(&other).unwrap());
    }

    #[test]
    fn every_text_reads_back() {
        for length in [
            0,
            1,
            511,
            4096,
            STEP - OVERHEAD - 1,
            STEP - OVERHEAD,
            5 * STEP - OVERHEAD - 1,
            3 * (256 << 10),
        ] {
            let text = "x".repeat(length);
            let files = [
                ("meta-data", "m"),
                ("user-data", &text),
                ("network-config", ""),
            ];
            let mut disk = Cursor::new(nocloud_disk(&files).unwrap());
            let volume = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
            assert_eq!(volume.volume_label(), "CIDATA");
            let root = volume.root_dir();
            for (name, text) in files {
                let mut read = String::new();
                root.open_file(name)
                    .unwrap()
                    .read_to_string(&mut read)
                    .unwrap();
                assert!(read == text, "{name} of {length}");
            }
            assert_eq!(root.iter().count(), files.len());
        }
    }

    /// As Linux and its tools see it.
    #[test]
    fn others_understand_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let path = path.to_str().unwrap();
        for length in [1, 3 * (256 << 10)] {
            let text = "x".repeat(length);
            std::fs::write(
                path,
                nocloud_disk(&[("user-data", &text), ("meta-data", "")]).unwrap(),
            )
            .unwrap();
            let seen = run("blkid", &["--probe", "--output", "export", path]);
            let seen = String::from_utf8(seen.stdout).unwrap();
            for line in [
                "LABEL_FATBOOT=CIDATA",
                "LABEL=CIDATA",
                "TYPE=vfat",
                "UUID=4152-4D46",
            ] {
                assert!(seen.lines().any(|seen| seen == line), "{line}: {seen}");
            }
            let checked = run("fsck.fat", &["-n", "-v", path]);
            let said = String::from_utf8_lossy(&checked.stdout);
            assert!(
                checked.status.success() && said.contains("3 files"),
                "{said}"
            );
        }
    }
}
