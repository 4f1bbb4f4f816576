//! The `armfleet` command: parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    armfleet::cli::main().into()
}
