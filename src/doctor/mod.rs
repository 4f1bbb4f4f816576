//! Whether a host can do what armfleet needs of it: every pitfall that is known, each with what to do about it.
//!
//! [`examine`] is a pure function of what was seen. What could not be seen is said, and never taken to be fine.

mod apparmor;
mod facts;
mod finding;
mod hooks;
mod libvirt;
mod places;
mod query;
mod settings;
mod watch;

pub use facts::Facts;
pub use finding::{Check, Finding, Remedy, Verdict};
pub use query::{programs, query};

/// What there is to say about a host, in the order of its layers.
#[must_use]
pub fn examine(facts: &Facts<'_>) -> Vec<Finding> {
    let parts: [fn(&Facts<'_>) -> Vec<Finding>; 15] = [
        libvirt::reached,
        libvirt::emulators,
        libvirt::kvm,
        libvirt::fixes_of_9p,
        hooks::installed,
        hooks::program,
        hooks::others,
        apparmor::places,
        places::staging,
        places::shares,
        watch::watcher,
        watch::locks,
        settings::qemu_conf,
        settings::libvirt_guests,
        settings::clock,
    ];
    let of_host = parts.iter().flat_map(|part| part(facts));
    of_host.chain(of_fleet(facts)).collect()
}

/// What a plan of the fleet would refuse because of the host.
fn of_fleet(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(plan) = facts.plan else {
        return Vec::new();
    };
    let failed = plan.refusals.iter().filter_map(|refusal| {
        let what = format!("{}: {} [{}]", refusal.subject, refusal.why, refusal.check?);
        Some(Check::Fleet.problem(what, Remedy::Do(refusal.remedy.clone())))
    });
    let unseen = plan.unknowns.iter().map(|unknown| {
        let what = format!("{}: {}", unknown.subject, unknown.why);
        Check::Fleet.not_checked(what)
    });
    let found: Vec<_> = failed.chain(unseen).collect();
    if found.is_empty() {
        let fleet = &plan.fleet;
        return vec![Check::Fleet.fine(format!("this host can run the VMs of {fleet}"))];
    }
    found
}
