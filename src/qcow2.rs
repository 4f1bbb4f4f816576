//! Images in QEMU's qcow2 format: what a header tells, a new image, and a larger one (`docs/interop/qcow2.txt` of QEMU).
//!
//! Nothing but the header is read, and nothing of it is believed without a bound: whoever made the image chose its bytes.

use std::ops::Range;

/// How an image begins.
const MAGIC: &[u8] = b"QFI\xfb";
/// The length of the header of version 3 that is read and written here.
const HEADER: usize = 104;
/// How much of an image is read: its header, what extends that, and the name of the image below.
pub const HEAD_LENGTH: usize = 4096;
/// The longest name of an image below that QEMU takes.
pub const MOST_NAME: usize = 1023;
/// What extends a header with the format of the image below.
const BACKING_FORMAT: u32 = 0xe279_2aca;
/// The length of the header of version 2.
const HEADER_2: usize = 72;
const VERSION: u32 = 3;
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// The length of an entry of a table.
const ENTRY: u64 = 8;
/// Where the size is in a header.
const SIZE_AT: usize = 24;
/// The largest disk that QEMU and Linux count in bytes.
const MOST_BYTES: u64 = i64::MAX as u64;

/// Features without which an image cannot be read.
mod feature {
    pub(super) const DIRTY: u64 = 1;
    pub(super) const CORRUPT: u64 = 1 << 1;
    pub(super) const EXTERNAL_DATA: u64 = 1 << 2;
    pub(super) const EXTENDED_L2: u64 = 1 << 4;
    pub(super) const KNOWN: u64 = (1 << 5) - 1;
    /// Of those that a writer must know or clear.
    pub(super) const BITMAPS: u64 = 1;
}

/// The image that a new one lies over. Its format is always written down: QEMU would guess it from bytes that a guest may
/// have chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backing<'a> {
    /// Its path, of at most [`MOST_NAME`] bytes.
    pub path: &'a str,
    /// Its format.
    pub format: &'a str,
}

/// The image that one lies over, as its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBacking {
    /// Its name: a path, or whatever else QEMU opens.
    pub name: String,
    /// Its format; without, QEMU guesses it.
    pub format: Option<String>,
}

impl StoredBacking {
    /// Whether this is the very image, with its format.
    #[must_use]
    pub fn is(&self, backing: Backing<'_>) -> bool {
        self.name == backing.path && self.format.as_deref() == Some(backing.format)
    }
}

/// What the header of an image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qcow2 {
    /// What the guest sees, in bytes.
    pub size: u64,
    /// The image that it lies over.
    pub backing: Option<StoredBacking>,
    /// Whether it holds snapshots.
    pub has_snapshots: bool,
    /// How large it can become with its first table where it is.
    reaches: u64,
    /// For how many bytes an entry of that table is.
    entry: u64,
    l1_entries: u32,
    /// Where its first table ends in its file.
    tables_end: u64,
    /// Why it cannot be grown by changing its header.
    fixed: Option<&'static str>,
}

impl Qcow2 {
    /// Reads a header; nothing if it is none.
    ///
    /// # Errors
    /// Says what QEMU would refuse, or what armfleet does not hand to QEMU.
    #[must_use]
    pub fn read(head: &[u8]) -> Option<Result<Self, &'static str>> {
        head.starts_with(MAGIC).then(|| read(head))
    }

    /// Of an image's first bytes those that say what it is, whatever its format.
    #[must_use]
    pub fn head(first: &[u8]) -> &[u8] {
        let is_qcow2 = first.starts_with(MAGIC);
        let end = is_qcow2.then(|| name_range(first)).flatten();
        let end = end.map_or(HEADER, |name| name.end.max(HEADER));
        &first[..end.min(first.len()).min(HEAD_LENGTH)]
    }

    /// How it is grown.
    ///
    /// # Errors
    /// Says why it cannot be grown so.
    pub fn grown(&self, from: u64, to: u64) -> Result<Growth, &'static str> {
        if self.size != from || to < from {
            return Err("it has another size than the plan says");
        }
        if let Some(why) = self.fixed {
            return Err(why);
        }
        if to > self.reaches {
            return Err("its tables end before that size");
        }
        let needed = to.div_ceil(self.entry);
        let entries = u32::try_from(needed)
            .unwrap_or(u32::MAX)
            .max(self.l1_entries);
        let mut header = [0; 16];
        header[..8].copy_from_slice(&to.to_be_bytes());
        header[12..].copy_from_slice(&entries.to_be_bytes());
        let more = u64::from(entries - self.l1_entries) * ENTRY;
        Ok(Growth {
            header,
            blank: self.tables_end..self.tables_end.saturating_add(more),
        })
    }

    /// Whether nothing was written to it yet, its file having so many bytes: data comes after its tables.
    #[must_use]
    pub const fn is_unused(&self, bytes: u64) -> bool {
        bytes <= self.tables_end && !self.has_snapshots
    }
}

/// How an image is grown. Its first table may become longer: QEMU gives it whole clusters, of which a small image uses few
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The header from [`Self::OFFSET`] on: the size, that it is not encrypted, and the length of the table.
    pub header: [u8; 16],
    /// The bytes that become a part of the table. They must be zero, or be beyond the end of the file.
    pub blank: Range<u64>,
}

impl Growth {
    /// Where those bytes of the header are in the file.
    pub const OFFSET: u64 = SIZE_AT as u64;
    /// Why it is not grown where those bytes are not zero.
    pub const NOT_BLANK: &'static str = "there is something after its table";
}

fn read(head: &[u8]) -> Result<Qcow2, &'static str> {
    const CUT: &str = "its header is cut short";
    let (u32_at, u64_at) = (
        |at| u32_at(head, at).ok_or(CUT),
        |at| u64_at(head, at).ok_or(CUT),
    );
    let version = u32_at(4)?;
    if !(2..=VERSION).contains(&version) {
        return Err("it has a version of the format that is not known");
    }
    let (bits, size, l1_entries) = (u32_at(20)?, u64_at(SIZE_AT)?, u32_at(36)?);
    if !(9..=21).contains(&bits) || size > MOST_BYTES {
        return Err("its header makes no sense");
    }
    if u32_at(32)? != 0 {
        return Err("it is encrypted");
    }
    let (incompatible, autoclear) = match version {
        VERSION => (u64_at(72)?, u64_at(88)?),
        _ => (0, 0),
    };
    if incompatible & !feature::KNOWN != 0 {
        return Err("it has features that are not known");
    }
    if incompatible & feature::EXTERNAL_DATA != 0 {
        return Err("it keeps its data in another file");
    }
    let has = |bit| incompatible & bit != 0;
    // Each entry of the first table is for as many clusters as a cluster has entries.
    let entry_bits = if has(feature::EXTENDED_L2) { 4 } else { 3 };
    let entry = 1 << (2 * bits - entry_bits);
    let table = u64_at(40)?;
    let cluster = 1u64 << bits;
    let has_room = table.is_multiple_of(cluster);
    let most = match has_room {
        true => (u64::from(l1_entries) * ENTRY).next_multiple_of(cluster) / ENTRY,
        false => l1_entries.into(),
    };
    Ok(Qcow2 {
        size,
        backing: stored_backing(head, version)?,
        has_snapshots: u32_at(60)? != 0,
        reaches: most.saturating_mul(entry).min(MOST_BYTES),
        entry,
        l1_entries,
        tables_end: table.saturating_add(u64::from(l1_entries) * ENTRY),
        fixed: if has(feature::CORRUPT) {
            Some("it is marked as corrupt")
        } else if has(feature::DIRTY) {
            Some("it was not closed well")
        } else if autoclear & feature::BITMAPS != 0 {
            Some("it has dirty bitmaps")
        } else if u32_at(60)? != 0 {
            Some("it has internal snapshots")
        } else {
            None
        },
    })
}

/// Where the name of the image below is, if it lies over one.
fn name_range(head: &[u8]) -> Option<Range<usize>> {
    let start = usize::try_from(u64_at(head, 8)?).ok()?;
    let length = usize::try_from(u32_at(head, 16)?).ok()?;
    (start != 0 && length <= MOST_NAME).then_some(start..start.checked_add(length)?)
}

fn stored_backing(head: &[u8], version: u32) -> Result<Option<StoredBacking>, &'static str> {
    const WRONG: &str = "what it says of the image below makes no sense";
    if u64_at(head, 8) == Some(0) {
        return Ok(None);
    }
    let range = name_range(head).ok_or(WRONG)?;
    let header = match version {
        VERSION => u32_at(head, 100).ok_or(WRONG)? as usize,
        _ => HEADER_2,
    };
    let extensions = head.get(header..range.start).ok_or(WRONG)?;
    let name = head.get(range).ok_or(WRONG)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| WRONG);
    Ok(Some(StoredBacking {
        name: text(name)?,
        format: extension(extensions, BACKING_FORMAT)
            .map(text)
            .transpose()?,
    }))
}

/// What the extension of this kind holds.
fn extension(mut extensions: &[u8], kind: u32) -> Option<&[u8]> {
    loop {
        let this = u32_at(extensions, 0).filter(|this| *this != 0)?;
        let length = usize::try_from(u32_at(extensions, 4)?).ok()?;
        let rest = extensions.get(8..)?;
        if this == kind {
            return rest.get(..length);
        }
        extensions = rest.get(length.checked_next_multiple_of(8)?..)?;
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// A new image of this size that holds nothing, or what the image below it holds: its first bytes, after which it has
/// zeros only, and its file's size.
#[must_use]
pub fn new_qcow2(size: u64, backing: Option<Backing<'_>>) -> (Vec<u8>, u64) {
    const ENTRIES: u64 = CLUSTER / 8;
    // Header, refcount table and refcount block, and then a table whose every entry is for 512 MiB. With all of its last
    // cluster it can grow for long.
    let l1_clusters = size.div_ceil(ENTRIES * ENTRIES * CLUSTER).max(1);
    let clusters = 3 + l1_clusters;
    let l1_entries = u32::try_from(l1_clusters * ENTRIES).unwrap_or(u32::MAX);
    let below = backing.map(below);
    let (below, name) = below.unwrap_or_default();
    let mut bytes = Vec::new();
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend((name.start as u64).to_be_bytes());
    bytes.extend((name.len() as u32).to_be_bytes());
    bytes.extend(CLUSTER_BITS.to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend(0u32.to_be_bytes());
    bytes.extend(l1_entries.to_be_bytes());
    bytes.extend((3 * CLUSTER).to_be_bytes());
    bytes.extend(CLUSTER.to_be_bytes());
    bytes.extend(1u32.to_be_bytes());
    // Neither snapshots nor features.
    bytes.extend([0; 36]);
    // Sixteen bits a refcount.
    bytes.extend(4u32.to_be_bytes());
    bytes.extend((HEADER as u32).to_be_bytes());
    bytes.extend(below);
    let at = |cluster: u64| usize::try_from(cluster * CLUSTER).unwrap_or(usize::MAX);
    bytes.resize(at(1), 0);
    bytes.extend((2 * CLUSTER).to_be_bytes());
    bytes.resize(at(2), 0);
    (0..clusters).for_each(|_| bytes.extend(1u16.to_be_bytes()));
    (bytes, clusters * CLUSTER)
}

/// What follows the header of an image that lies over another, and where in the image's file the other's name is.
fn below(backing: Backing<'_>) -> (Vec<u8>, Range<usize>) {
    let (path, format) = (backing.path.as_bytes(), backing.format.as_bytes());
    let mut bytes = Vec::new();
    bytes.extend(BACKING_FORMAT.to_be_bytes());
    bytes.extend((format.len() as u32).to_be_bytes());
    bytes.extend(format);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    // No more extensions.
    bytes.extend([0; 8]);
    let start = HEADER + bytes.len();
    bytes.extend(path);
    (bytes, start..start + path.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn read_new(size: u64) -> Qcow2 {
        let (bytes, _) = new_qcow2(size, None);
        let head = Qcow2::head(&bytes);
        assert_eq!(head.len(), HEADER);
        Qcow2::read(head).unwrap().unwrap()
    }

    const BACKING: Backing<'_> = Backing {
        path: "/srv/base.img",
        format: "raw",
    };

    fn overlay() -> Vec<u8> {
        let (bytes, _) = new_qcow2(GIB, Some(BACKING));
        Qcow2::head(&bytes).to_vec()
    }

    #[test]
    fn an_overlay_names_its_base_and_the_base_s_format() {
        let longest = "/".repeat(MOST_NAME);
        for path in [BACKING.path, &longest] {
            let backing = Backing { path, ..BACKING };
            let (bytes, length) = new_qcow2(GIB, Some(backing));
            assert_eq!(length, 256 << 10);
            let image = Qcow2::read(Qcow2::head(&bytes)).unwrap().unwrap();
            let base = image.backing.unwrap();
            assert!(base.is(backing));
            assert!(!base.is(Backing {
                path: "/srv/other.img",
                ..backing
            }));
            assert!(!base.is(Backing {
                format: "qcow2",
                ..backing
            }));
        }
    }

    #[test]
    fn an_overlay_of_qemu_s_is_read() {
        // As qemu-img writes it: the format, a table of names of features, and the name of the image below.
        let mut head = overlay()[..HEADER].to_vec();
        let mut extend = |kind: u32, content: &[u8]| {
            head.extend(kind.to_be_bytes());
            head.extend((content.len() as u32).to_be_bytes());
            head.extend(content);
            head.resize(head.len().next_multiple_of(8), 0);
        };
        extend(0x6803_f857, &[7; 384]);
        extend(BACKING_FORMAT, b"qcow2");
        extend(0, b"");
        let start = head.len() as u64;
        head[8..16].copy_from_slice(&start.to_be_bytes());
        head[16..20].copy_from_slice(&8u32.to_be_bytes());
        head.extend(b"/srv/b.qand more");
        let base = Qcow2::read(Qcow2::head(&head)).unwrap().unwrap().backing;
        let (name, format) = ("/srv/b.q".to_owned(), Some("qcow2".to_owned()));
        assert_eq!(base, Some(StoredBacking { name, format }));
        // Without an extension that says it, the format is for QEMU to guess.
        head[HEADER + 8 + 384 + 3] ^= 1;
        let base = Qcow2::read(&head).unwrap().unwrap().backing;
        assert_eq!(base.unwrap().format, None);
    }

    #[test]
    fn what_lies_about_its_base_is_refused() {
        let head = overlay();
        let with = |at: usize, bytes: &[u8]| {
            let mut head = head.clone();
            head[at..at + bytes.len()].copy_from_slice(bytes);
            Qcow2::read(Qcow2::head(&head)).unwrap()
        };
        for (at, bytes) in [
            (8, &[0xff; 8][..]),
            (14, &[0xff]),
            (15, &[1]),
            (16, &[0, 0, 4, 0]),
            (18, &[1]),
            (100, &[0xff; 4]),
            (HEADER + 4, &[0xff; 4]),
            (HEADER + 8, &[0xff]),
            (head.len() - 1, &[0xff]),
        ] {
            let read = with(at, bytes);
            let has_format = |image: Qcow2| image.backing.unwrap().format.is_some();
            assert!(!read.is_ok_and(has_format), "{at} {bytes:?}");
        }
        assert!(Qcow2::read(&head[..head.len() - 1]).unwrap().is_err());
    }

    #[test]
    fn a_new_image_reads_as_what_it_was_made_to_be() {
        for size in [512, GIB, 8 << 40, 9 * GIB + 512] {
            let read = read_new(size);
            assert_eq!((read.size, read.backing, read.fixed), (size, None, None));
            assert!(read.reaches >= size);
        }
        assert_eq!(new_qcow2(GIB, None).1, 256 << 10);
    }

    #[test]
    fn an_image_grows_as_far_as_its_tables_reach_and_never_shrinks() {
        let image = read_new(GIB);
        let grown = image.grown(GIB, 2 * GIB).unwrap();
        assert_eq!(grown.header[..8], (2 * GIB).to_be_bytes());
        assert!(grown.blank.is_empty());
        for (from, to) in [(GIB, GIB - 512), (2 * GIB, 3 * GIB), (GIB, (4 << 40) + 512)] {
            assert!(image.grown(from, to).is_err(), "{from} {to}");
        }
    }

    /// As `qemu-img create` makes it: a first table of one entry in a cluster of its own.
    #[test]
    fn a_first_table_becomes_as_long_as_its_cluster() {
        let mut head = new_qcow2(GIB / 4, None).0[..HEADER].to_vec();
        head[36..40].copy_from_slice(&1u32.to_be_bytes());
        let image = Qcow2::read(&head).unwrap().unwrap();
        let grown = image.grown(GIB / 4, 20 * GIB).unwrap();
        assert_eq!(grown.header[12..], 40u32.to_be_bytes());
        assert_eq!(grown.blank, 3 * CLUSTER + 8..3 * CLUSTER + 320);
        assert!(image.grown(GIB / 4, (4 << 40) + 512).is_err());
        // One that does not begin with a cluster is no table of QEMU's.
        head[47] = 8;
        let image = Qcow2::read(&head).unwrap().unwrap();
        assert!(image.grown(GIB / 4, GIB).is_err());
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let head = new_qcow2(GIB, None).0[..HEADER].to_vec();
        let with = |at: usize, bytes: &[u8]| {
            let mut head = head.clone();
            head[at..at + bytes.len()].copy_from_slice(bytes);
            Qcow2::read(&head).unwrap()
        };
        for (at, bytes) in [
            (4, &[0, 0, 0, 4][..]),
            (20, &[0, 0, 0, 8]),
            (20, &[0, 0, 0, 63]),
            (24, &[0xff; 8]),
            (32, &[0, 0, 0, 1]),
            (79, &[4]),
            (72, &[0x80]),
        ] {
            assert!(with(at, bytes).is_err(), "{at} {bytes:?}");
        }
        for (at, bytes) in [(79, &[1][..]), (79, &[2]), (95, &[1]), (63, &[1])] {
            assert!(
                with(at, bytes).unwrap().grown(GIB, 2 * GIB).is_err(),
                "{at}"
            );
        }
        assert!(with(15, &[1]).is_err());
        assert!(with(36, &[0xff; 4]).is_ok());
        assert_eq!(Qcow2::read(b"\0\0\0\0"), None);
        assert!(Qcow2::read(&head[..80]).unwrap().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_more_than_refused(mut head in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let count = head.len().min(MAGIC.len());
            head[..count].copy_from_slice(&MAGIC[..count]);
            if let Some(Ok(image)) = Qcow2::read(Qcow2::head(&head)) {
                let _ = image.grown(image.size, u64::MAX);
                proptest::prop_assert!(image.reaches <= MOST_BYTES);
            }
        }
    }
}
