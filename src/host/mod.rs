//! Hosts: the port of two verbs, and what stands behind it.

pub mod primitives;
