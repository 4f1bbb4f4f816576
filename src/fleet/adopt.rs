//! VMs that another fleet has: the key that takes them over.

use crate::fleetfile::map;
use crate::values::FleetName;

map! {
    /// A VM that this fleet takes over.
    pub struct Adopt, PartialAdopt, "adopt": "`adopt`", "adopt.", "it belongs under `adopt`" {
        /// The fleet that has the VM, as its file's `fleet` says. The VM has the same name there.
        from: FleetName { required, effect: Now, example: "obs-old" },
    }
}
