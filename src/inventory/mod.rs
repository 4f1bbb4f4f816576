//! What was seen on a host, and what could not be.

mod raw;

pub use raw::{
    Fact, FileKind, Look, Query, RawDomain, RawEntry, RawFile, RawInventory, RawLibvirt, RawStat,
    SNAPSHOT_FORMAT,
};
