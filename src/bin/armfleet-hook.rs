//! The libvirt hook's binary.

fn main() {}
