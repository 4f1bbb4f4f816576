//! Whether a file may be a console's log. virtlogd, as root, opens whatever has this path, appends what the guest prints
//! and renames it when it is large: a log has no identity, and is known by these rules instead.

use crate::inventory::{Domain, Fact, FileKind, RawFile};
use crate::mark::{CONSOLE_LOG, Record};
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::problem::HostCheck;
use crate::trust::Writer;
use crate::values::HostPath;

/// Where the logs of a host are.
const LOGS: &str = "/var/log/";

impl VmPlanner<'_> {
    /// Refuses a log that could be anything else, unless it was applied already.
    pub(super) fn console_log(
        &self,
        domain: Option<&Domain>,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let Some(log) = &self.vm.console.log else {
            return Ok(());
        };
        if is_applied(log, domain, record) {
            return Ok(());
        }
        let name = &self.vm.name;
        let failure = match self.input.inventory.path(log.as_str()) {
            Fact::Present(file) => self.not_for_a_log(log).or_else(|| self.no_log(log, file)),
            Fact::Absent => self.not_for_a_log(log),
            fact => return Err(builder.unreadable(name, log, fact.unknown())),
        };
        let Some((why, remedy)) = failure else {
            return Ok(());
        };
        let why = format!("its console log {log} {why}");
        builder.refuse_on(HostCheck::ConsoleLog, name, why, remedy);
        Err(Blocked)
    }

    /// What is wrong with a log's path.
    fn not_for_a_log(&self, log: &HostPath) -> Option<(String, String)> {
        let mut images = self.vm.disks.iter().map(|disk| disk.path.parent());
        let why = if !log.as_str().ends_with(".log") {
            "does not end in .log"
        } else if log.as_str().starts_with(LOGS) || images.any(|folder| folder == log.parent()) {
            return None;
        } else {
            "is neither below /var/log nor in the folder of one of the VM's images"
        };
        let remedy = format!("set console.log: {LOGS}{}.log", self.vm.name);
        Some((why.to_owned(), remedy))
    }

    /// Why what is there is no log.
    fn no_log(&self, log: &HostPath, file: &RawFile) -> Option<(String, String)> {
        let stat = &file.stat;
        let why = if stat.kind != FileKind::File {
            format!("is {}", stat.kind.describe())
        } else if stat.links.is_some_and(|links| links != 1) {
            "has another name, too: a log would be written into that file".to_owned()
        } else if stat.uid != 0 {
            let owner = Writer::User(stat.uid).describe(self.input.libvirt.qemu_owner);
            format!("belongs to {owner}, not to root")
        } else {
            format!("begins as {}", file.begins_as.as_deref()?)
        };
        Some((why, format!("mv {log} {log}.old")))
    }
}

/// Whether the last apply gave the VM this log; where the record is lost, whether its domain has it.
pub(super) fn is_applied(log: &HostPath, domain: Option<&Domain>, record: Option<&Record>) -> bool {
    match (record, domain) {
        (Some(record), _) => {
            let applied = record.applied.rows.get(&CONSOLE_LOG);
            applied.is_some_and(|applied| applied == log.as_str())
        }
        (None, Some(domain)) => domain.claims.iter().any(|path| path == log.as_str()),
        (None, None) => false,
    }
}
