//! Images in QEMU's qcow2 format: what a header tells, a new image, and a larger one (`docs/interop/qcow2.txt` of QEMU).
//!
//! Nothing but the header is read, and nothing of it is believed without a bound: whoever made the image chose its bytes.

/// How an image begins.
const MAGIC: &[u8] = b"QFI\xfb";
/// The length of the header of version 3 that is read and written here.
pub const HEADER: usize = 104;
const VERSION: u32 = 3;
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
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

/// What the header of an image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Qcow2 {
    /// What the guest sees, in bytes.
    pub size: u64,
    /// Whether it lies over another image.
    pub has_backing: bool,
    /// Whether it holds snapshots.
    pub has_snapshots: bool,
    /// How large it can become without new tables.
    reaches: u64,
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

    /// The bytes of its size once it is grown.
    ///
    /// # Errors
    /// Says why it cannot be grown so.
    pub fn grown(&self, from: u64, to: u64) -> Result<[u8; 8], &'static str> {
        if self.size != from || to < from {
            return Err("it has another size than the plan says");
        }
        if let Some(why) = self.fixed {
            return Err(why);
        }
        if to > self.reaches {
            return Err("its tables end before that size");
        }
        Ok(to.to_be_bytes())
    }

    /// Whether nothing was written to it yet, its file having so many bytes: data comes after its tables.
    #[must_use]
    pub const fn is_unused(&self, bytes: u64) -> bool {
        bytes <= self.tables_end && !self.has_snapshots
    }

    /// Where those bytes are in its file.
    pub const SIZE_OFFSET: u64 = SIZE_AT as u64;
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
    let reach = u64::from(l1_entries).checked_shl(2 * bits - entry_bits);
    Ok(Qcow2 {
        size,
        has_backing: u64_at(8)? != 0,
        has_snapshots: u32_at(60)? != 0,
        reaches: reach.unwrap_or(MOST_BYTES).min(MOST_BYTES),
        tables_end: u64_at(40)?.saturating_add(u64::from(l1_entries) * 8),
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

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// A new image of this size that holds nothing: its first bytes, after which it has zeros only, and its file's size.
#[must_use]
pub fn new_qcow2(size: u64) -> (Vec<u8>, u64) {
    const ENTRIES: u64 = CLUSTER / 8;
    // Header, refcount table and refcount block, and then a table whose every entry is for 512 MiB. With all of its last
    // cluster it can grow for long.
    let l1_clusters = size.div_ceil(ENTRIES * ENTRIES * CLUSTER).max(1);
    let clusters = 3 + l1_clusters;
    let l1_entries = u32::try_from(l1_clusters * ENTRIES).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 12]);
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
    bytes.extend(u32::try_from(HEADER).unwrap_or_default().to_be_bytes());
    let at = |cluster: u64| usize::try_from(cluster * CLUSTER).unwrap_or(usize::MAX);
    bytes.resize(at(1), 0);
    bytes.extend((2 * CLUSTER).to_be_bytes());
    bytes.resize(at(2), 0);
    (0..clusters).for_each(|_| bytes.extend(1u16.to_be_bytes()));
    (bytes, clusters * CLUSTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn read_new(size: u64) -> Qcow2 {
        Qcow2::read(&new_qcow2(size).0[..HEADER]).unwrap().unwrap()
    }

    #[test]
    fn a_new_image_reads_as_what_it_was_made_to_be() {
        for size in [512, GIB, 8 << 40, 9 * GIB + 512] {
            let read = read_new(size);
            assert_eq!(
                (read.size, read.has_backing, read.fixed),
                (size, false, None)
            );
            assert!(read.reaches >= size);
        }
        assert_eq!(new_qcow2(GIB).1, 256 << 10);
    }

    #[test]
    fn an_image_grows_as_far_as_its_tables_reach_and_never_shrinks() {
        let image = read_new(GIB);
        assert_eq!(image.grown(GIB, 2 * GIB), Ok((2 * GIB).to_be_bytes()));
        for (from, to) in [(GIB, GIB - 512), (2 * GIB, 3 * GIB), (GIB, (4 << 40) + 512)] {
            assert!(image.grown(from, to).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let head = new_qcow2(GIB).0[..HEADER].to_vec();
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
        assert!(with(15, &[1]).unwrap().has_backing);
        assert!(with(36, &[0xff; 4]).is_ok());
        assert_eq!(Qcow2::read(b"\0\0\0\0"), None);
        assert!(Qcow2::read(&head[..80]).unwrap().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_more_than_refused(mut head in proptest::collection::vec(proptest::num::u8::ANY, 0..120)) {
            let count = head.len().min(MAGIC.len());
            head[..count].copy_from_slice(&MAGIC[..count]);
            if let Some(Ok(image)) = Qcow2::read(&head) {
                let _ = image.grown(image.size, u64::MAX);
                proptest::prop_assert!(image.reaches <= MOST_BYTES);
            }
        }
    }
}
