//! Linux's access control lists, as the kernel keeps them (`linux/posix_acl_xattr.h`).

use super::Writer;

const VERSION: [u8; 4] = 2u32.to_le_bytes();
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const WRITE: u16 = 2;

/// Whom besides its owner and everyone else the list of a folder of this group lets write, by the bytes of
/// `system.posix_acl_access`; none if it is no such list.
#[must_use]
pub fn acl_writers(bytes: &[u8], gid: u32) -> Option<Vec<Writer>> {
    let entries = bytes.strip_prefix(&VERSION)?;
    if entries.len() % 8 != 0 {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let id = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        (short(0), short(2), id)
    };
    let entries: Vec<_> = entries.chunks_exact(8).map(entry).collect();
    let mask = entries.iter().find(|(tag, ..)| *tag == MASK);
    let mask = mask.map_or(WRITE, |(_, permissions, _)| *permissions);
    let writers = entries.iter().filter_map(|(tag, permissions, id)| {
        let writer = match *tag {
            USER => Writer::User(*id),
            OWNING_GROUP => Writer::Group(gid),
            GROUP => Writer::Group(*id),
            _ => return None,
        };
        (permissions & mask & WRITE != 0).then_some(writer)
    });
    Some(writers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry = |(tag, permissions, id): &(u16, u16, u32)| {
            let head = [tag.to_le_bytes(), permissions.to_le_bytes()].concat();
            [head, id.to_le_bytes().to_vec()].concat()
        };
        [
            VERSION.to_vec(),
            entries.iter().flat_map(entry).collect::<Vec<_>>(),
        ]
        .concat()
    }

    #[test]
    fn a_list_tells_whom_it_lets_write_within_its_mask() {
        const NONE: u32 = u32::MAX;
        let entries = |mask| {
            list(&[
                (1, 7, NONE),
                (USER, 7, 1000),
                (USER, 5, 1001),
                (OWNING_GROUP, 7, NONE),
                (GROUP, 6, 50),
                (MASK, mask, NONE),
                (0x20, 5, NONE),
            ])
        };
        let writers = [Writer::User(1000), Writer::Group(4), Writer::Group(50)];
        assert_eq!(acl_writers(&entries(7), 4).unwrap(), writers);
        assert_eq!(acl_writers(&entries(5), 4).unwrap(), []);
        assert_eq!(acl_writers(&list(&[(1, 7, NONE)]), 4).unwrap(), []);
        for other in [&b""[..], b"\x01\0\0\0", b"\x02\0\0\0\x01"] {
            assert_eq!(acl_writers(other, 4), None);
        }
    }
}
