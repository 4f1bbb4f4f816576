//! What is in a file system in memory.

use crate::boot::{Allowance, Unfit, unfit};
use crate::fleet::DiskFormat;
use crate::host::primitives::ImageSize;
use crate::inventory::{FileKind, LOG_HEAD_LENGTH, Look, RawDevice, RawFile, begins_as};
use crate::qcow2::{Growth, Qcow2};
use sha2::{Digest, Sha256};
use std::io::Cursor;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Content {
    Folder,
    /// Its first bytes; those after them, up to its size, are zero.
    File {
        bytes: Vec<u8>,
        size: u64,
    },
    Link(String),
    /// A block device: its number, its first bytes, and what is known of it.
    Device {
        number: u64,
        bytes: Vec<u8>,
        known: RawDevice,
    },
    Special,
}

impl Content {
    pub(in super::super) fn file(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        Self::File { bytes, size }
    }

    pub(super) fn kind(&self) -> FileKind {
        match self {
            Self::Folder => FileKind::Folder,
            Self::File { .. } => FileKind::File,
            Self::Link(_) => FileKind::Symlink,
            Self::Device { .. } | Self::Special => FileKind::Special,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Link(target) => target.len() as u64,
            Self::Folder | Self::Device { .. } | Self::Special => 0,
        }
    }

    /// How much of the file system it has: what was written.
    pub(super) fn allocated(&self) -> u64 {
        match self {
            Self::File { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }

    pub(super) fn is_blank(&self) -> bool {
        matches!(self, Self::File { bytes, .. } if bytes.iter().all(|byte| *byte == 0))
    }

    /// Tells how a program begins, and the line of a script that names what runs it.
    pub(super) fn tell_program(&self, seen: &mut RawFile) {
        seen.head = self.head();
        let Self::File { bytes, .. } = self else {
            return;
        };
        let line = bytes.split(|byte| *byte == b'\n').next();
        let script = line.filter(|line| line.starts_with(b"#!"));
        seen.text = script.map(|line| String::from_utf8_lossy(line).into_owned());
    }

    /// The first bytes of a file that holds any, or of a device.
    pub(super) fn head(&self) -> Option<String> {
        let (Self::File { bytes, .. } | Self::Device { bytes, .. }) = self else {
            return None;
        };
        let first = Qcow2::head(bytes).iter();
        (!self.is_blank()).then(|| first.map(|byte| format!("{byte:02x}")).collect())
    }

    /// What is known of a block device.
    pub(super) fn device(&self) -> Option<&RawDevice> {
        match self {
            Self::Device { known, .. } => Some(known),
            _ => None,
        }
    }

    /// What a qcow2 image's header says.
    pub(super) fn qcow2(&self) -> Option<Result<Qcow2, &'static str>> {
        match self {
            Self::File { bytes, .. } => Qcow2::read(bytes),
            _ => None,
        }
    }

    /// The same image, at least as large as this for its guest.
    pub(super) fn grown(mut self, grown: ImageSize) -> Result<Self, &'static str> {
        let qcow2 = self.qcow2().transpose()?;
        if let Self::File { bytes, size } = &mut self {
            match (grown.format, qcow2) {
                (DiskFormat::Raw, _) => *size = grown.to.max(*size),
                (DiskFormat::Qcow2, Some(image)) if image.size < grown.to => {
                    grow_qcow2(bytes, &image, image.size, grown.to)?;
                }
                (DiskFormat::Qcow2, Some(_)) => {}
                (DiskFormat::Qcow2, None) => return Err("it is no qcow2 image"),
            }
        }
        Ok(self)
    }

    /// What a file that is no console log begins as.
    pub(super) fn begins_as(&self) -> Option<Box<str>> {
        let Self::File { bytes, size } = self else {
            return None;
        };
        let mut head = bytes.clone();
        let length = usize::try_from(*size).unwrap_or(usize::MAX);
        head.resize(length.min(LOG_HEAD_LENGTH), 0);
        begins_as(&head)
    }

    /// Whose guests it does not boot, as what it is looked at for.
    pub(super) fn unfit(&self, look: Look) -> Unfit {
        let (Self::File { bytes, .. }, Some(given_as)) = (self, look.given_as()) else {
            return Unfit::new();
        };
        let unfit = unfit(
            &mut Cursor::new(bytes),
            given_as,
            &Allowance::without_clock(),
        );
        // Reading memory does not fail.
        unfit.unwrap_or_default()
    }

    pub(super) fn sha256(&self) -> Option<String> {
        let Self::File { bytes, size } = self else {
            return None;
        };
        let mut hasher = Sha256::new();
        hasher.update(bytes);
        let zeros = [0; 4096];
        let mut left = size - bytes.len() as u64;
        while left > 0 {
            let some = left.min(zeros.len() as u64);
            hasher.update(&zeros[..usize::try_from(some).unwrap_or(zeros.len())]);
            left -= some;
        }
        let digits = hasher.finalize();
        Some(digits.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Grows a qcow2 image in place.
pub(super) fn grow_qcow2(
    bytes: &mut [u8],
    image: &Qcow2,
    from: u64,
    to: u64,
) -> Result<(), &'static str> {
    let grown = image.grown(from, to)?;
    let at = |offset: u64| {
        usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len())
    };
    let (start, end) = (at(grown.blank.start), at(grown.blank.end));
    if bytes[start..end].iter().any(|byte| *byte != 0) {
        return Err(Growth::NOT_BLANK);
    }
    let header = at(Growth::OFFSET);
    bytes[header..header + grown.header.len()].copy_from_slice(&grown.header);
    Ok(())
}
