//! A VM's console: its keys.

use crate::fleetfile::map;
use crate::values::HostPath;

map! {
    /// The guest's serial console.
    pub struct Console, PartialConsole, "console": "`console`", "console.", "it belongs under `console`" {
        /// The file on the host to which the console's output is appended. Its name ends in `.log`, and its folder, which must
        /// exist, is /var/log, one below it, or that of one of the VM's images.
        log: Option<HostPath> {
            absent: "the output is not kept", effect: NextBoot,
            example: "\"/var/log/armhf/{name}.log\"", also_called: ["logfile"],
        },
    }
}
