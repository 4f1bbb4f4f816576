//! armfleet keeps ARM virtual machines on libvirt the way a YAML file says they should be.

pub mod boot;
pub mod cli;
pub mod domain;
pub mod engine;
pub mod host;
pub mod inventory;
pub mod mark;
pub mod plan;
pub mod report;
pub mod spec;
pub mod xml;
