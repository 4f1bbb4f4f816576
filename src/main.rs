//! The `armfleet` command.

fn main() {}
