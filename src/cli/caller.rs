//! For whom a host is changed, as its journal has it.

use crate::host::Caller;
use crate::mark::CalledFrom;
use std::env;
use std::net::IpAddr;
use std::path::{Path, absolute};

/// How a command line names standard input.
pub(super) const STDIN: &str = "-";

/// The caller of this command, with these files.
pub(super) fn caller<'a>(files: impl IntoIterator<Item = &'a str>) -> Caller {
    let whole = |file: &str| {
        if file == STDIN {
            return file.to_owned();
        }
        let path = absolute(Path::new(file));
        path.map_or_else(|_| file.to_owned(), |path| path.display().to_string())
    };
    Caller {
        from: CalledFrom {
            machine: machine(),
            files: files.into_iter().map(whole).collect(),
            client: client(),
        },
    }
}

fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| String::new(), |name| name.trim().to_owned())
}

/// The address that the user's session comes from (`sshd(8)`, `SSH_CONNECTION`); what is no address is not believed.
fn client() -> Option<String> {
    let connection = env::var("SSH_CONNECTION").ok()?;
    let address: IpAddr = connection.split(' ').next()?.parse().ok()?;
    Some(address.to_string())
}
