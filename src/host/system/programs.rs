//! What programs say of their versions.

use crate::host::primitives::CallError;
use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A program that has not answered by then is one that does something else.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// More than any first line.
const LINE_LIMIT: u64 = 4096;

/// The first line that `PROGRAM --version` prints.
pub(super) fn version(program: &str) -> Result<String, CallError> {
    let failed = |why: String| CallError::other(format!("{program} --version: {why}"));
    let mut asked = Command::new(program);
    let asked = asked
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = asked.spawn().map_err(|error| failed(error.to_string()))?;
    match ended(&mut child).map_err(|error| failed(error.to_string()))? {
        None => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        Some(status) if !status.success() => Err(failed(status.to_string())),
        Some(_) => Ok(first_line(&mut child)),
    }
}

/// How a process ended; none of one that had to be ended. What it prints fits into its pipe.
fn ended(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(LOOK_EVERY);
    }
}

fn first_line(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // What was read until then is all there is.
        let _ = stdout.take(LINE_LIMIT).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    said.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_program_is_asked_and_one_that_fails_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let says = |text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            version(path.to_str().unwrap()).map_err(|error| error.why)
        };
        assert_eq!(
            says("#!/bin/sh\necho \"$1 7.2\"; echo more\n"),
            Ok("--version 7.2".to_owned())
        );
        let why = says("#!/bin/sh\nexit 3\n").unwrap_err();
        assert!(why.ends_with("--version: exit status: 3"), "{why}");
        let why = says("#!/nowhere/sh\n").unwrap_err();
        assert!(why.contains("No such file"), "{why}");
    }
}
