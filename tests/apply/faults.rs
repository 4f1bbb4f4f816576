//! Whatever call fails, whatever answer is lost, and wherever the process is killed: the next apply goes on, and nothing
//! that a guest wrote is lost.

use crate::harness::case::{Case, policy};
use crate::harness::kernels::whole;
use crate::harness::{
    DATA, EMPTY, FLEET, IMAGE, SHARE, UUID, VM, apply, apply_over, new_host, perform_in_order,
    settled_host, text,
};
use armfleet::engine::{self, Interruption, Monitor};
use armfleet::host::Executor;
use armfleet::host::intercept::{Failing, Intercept, Intercepted, Killed, Recorded, Recording};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives, Reads};
use armfleet::inventory::Look;
use armfleet::plan::Ended;
use armfleet::plan::{Policy, Step};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// An apply that is disturbed.
pub(crate) struct Disturbance {
    host: Memory,
    fleet: String,
    pub(crate) policy: Policy,
    /// At least so many calls are made.
    calls: usize,
    /// What must not be there in the end.
    gone: &'static [&'static str],
}

impl Disturbance {
    pub(crate) fn new(calls: usize, host: Memory, fleet: impl Into<String>) -> Self {
        Self {
            host,
            fleet: fleet.into(),
            policy: Policy::default(),
            calls,
            gone: &[],
        }
    }

    /// Applies on a new host while somebody watches.
    fn disturbed(&self, by: &impl Intercept) -> Memory {
        let host = self.host.fork();
        let calls = host.clone();
        // Where not even the lock can be taken, nothing else is done.
        if let Ok(performer) = Executor::locked(Intercepted { calls, by }) {
            apply_over(&performer, &self.fleet, &self.policy);
        }
        host
    }

    /// The calls of an apply that nothing disturbs, each with the number of equal ones before it.
    fn calls(&self) -> Vec<(Recorded, usize)> {
        let recording = Recording::default();
        self.disturbed(&recording);
        let mut seen = BTreeMap::new();
        let calls = recording.calls().into_iter().map(|recorded| {
            let count = seen.entry(recorded.clone()).or_insert(0);
            *count += 1;
            (recorded, *count - 1)
        });
        let calls: Vec<_> = calls.collect();
        assert!(calls.len() >= self.calls, "only {} calls", calls.len());
        calls
    }

    /// Guests write what they have; another apply then does the rest, and loses nothing of it.
    #[track_caller]
    fn assert_goes_on(&self, host: &Memory, after: &str) {
        let config = format!("{SHARE}/config");
        let has = |path: &str| host.look(path, Look::Stat).present().is_some();
        let (image, share) = (has(IMAGE), has(SHARE));
        if image {
            host.write_image(IMAGE, DATA).unwrap();
        }
        if share {
            host.put_guest_file(SHARE, "config", DATA).unwrap();
        }
        let outcome = apply(host, &self.fleet, &self.policy).outcome;
        let left = &outcome.residual;
        assert!(outcome.all_done(), "after {after}: {:#?}", outcome.ended);
        assert!(
            left.is_empty() && left.is_complete(),
            "after {after}:\n{}",
            text(left)
        );
        assert_eq!(left.refusals, [], "after {after}");
        if image {
            assert_eq!(host.bytes(IMAGE).unwrap(), DATA.as_bytes(), "after {after}");
        }
        if share {
            assert_eq!(
                host.bytes(&config).unwrap(),
                DATA.as_bytes(),
                "after {after}"
            );
        }
        for path in self.gone {
            let left = host.look(path, Look::Stat);
            assert!(left.is_absent(), "after {after}: {path} is left");
        }
        if let Ok(uuid) = host.uuid_of(VM) {
            assert_eq!(uuid, UUID);
        }
    }

    pub(crate) fn survives_everything(&self) {
        self.survives(&|host, after| self.assert_goes_on(host, after));
    }

    /// Whatever disturbs the apply, what comes after it ends well.
    pub(crate) fn survives(&self, assert_goes_on: &dyn Fn(&Memory, &str)) {
        let calls = self.calls();
        for (Recorded { call, changes }, before) in &calls {
            // Of a call that only reads, no answer is as good as a failure.
            let lost = changes.then(|| Failing::answer(call, *before));
            for failing in [Failing::new(call, *before)].into_iter().chain(lost) {
                let host = self.disturbed(&failing);
                assert!(failing.has_failed(), "{call} was not made {before} times");
                assert_goes_on(&host, &format!("{failing:?}"));
            }
        }
        // Killed before a call that reads is killed before the next one that changes something.
        let last = calls.len() - 1;
        let changing = calls.iter().enumerate();
        let changing = changing.filter(|(number, (call, _))| call.changes || *number == last);
        for (number, _) in changing {
            let killed = Killed::at(number);
            let host = self.disturbed(&killed);
            assert!(killed.is_dead());
            assert_goes_on(&host, &format!("{killed:?}"));
        }
    }
}

/// Interrupts after so many steps.
struct Interrupting {
    after: usize,
    ended: AtomicUsize,
}

impl Monitor for Interrupting {
    fn begins(&self, _: &Step) {}
    fn ended(&self, _: &Step, _: &Ended) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
    fn interruption(&self) -> Interruption {
        match self.ended.load(Ordering::SeqCst) >= self.after {
            true => Interruption::Finish,
            false => Interruption::None,
        }
    }
}

#[test]
fn an_interruption_finishes_what_is_under_way_and_begins_nothing() {
    let disturbance = Disturbance::new(90, new_host(), FLEET);
    let spec = crate::harness::spec(FLEET);
    for after in 0..9 {
        let host = disturbance.host.fork();
        let performer = Executor::locked(host.clone()).unwrap();
        let (plan, _) = engine::observe_and_plan(&performer, &spec, &disturbance.policy).unwrap();
        assert_eq!(plan.steps.len(), 9);
        let monitor = Interrupting {
            after,
            ended: AtomicUsize::new(0),
        };
        let outcome =
            engine::apply(&performer, &spec, &disturbance.policy, &plan, &monitor).unwrap();
        let count = |wanted: fn(&Ended) -> bool| {
            outcome.ended.values().filter(|ended| wanted(ended)).count()
        };
        let (done, left) = (
            count(|ended| matches!(ended, Ended::Done)),
            count(|ended| matches!(ended, Ended::NotTried)),
        );
        assert!(
            outcome.interrupted && done + left == 9 && done >= after,
            "{done} done, {left} left"
        );
        // Four are under way at once at the most.
        assert!(done < after + 4, "{done} done after {after}");
        drop(performer);
        disturbance.assert_goes_on(&host, &format!("{after} steps"));
    }
}

#[test]
fn a_first_apply_survives_everything() {
    Disturbance::new(90, new_host(), FLEET).survives_everything();
}

/// Everything that an update can do, at once.
#[test]
fn an_update_survives_everything() {
    let host = settled_host();
    let root = Owner { uid: 0, gid: 0 };
    host.put_file(
        "/srv/seed/vmlinuz-6.1.0-48-armmp",
        whole("vmlinuz", "another"),
    )
    .unwrap();
    host.put_file("/etc/libvirt/hooks/qemu.d/50-armfleet", "old")
        .unwrap();
    host.own(SHARE, 0o755, root).unwrap();
    host.set_autostart(UUID, false).unwrap();
    let fleet = FLEET
        .replace("512MiB", "1GiB")
        .replace("root=/dev/vda1", "root=/dev/vda1 quiet")
        .replace("/var/log/armhf-vm.log", "/var/log/other.log")
        .replace("8GiB", "9GiB");
    Disturbance::new(90, host, fleet).survives_everything();
}

#[test]
fn a_disk_for_cloud_init_survives_everything() {
    let fleet = format!("{FLEET}    cloud_init: {{ user_data: user-data }}\n");
    Disturbance::new(40, settled_host(), &fleet).survives_everything();
    let host = settled_host();
    apply(&host, &fleet, &Policy::default()).assert_converged();
    let disturbance = Disturbance {
        gone: &["/var/lib/armfleet/vms/armhf-vm/cloud-init"],
        ..Disturbance::new(20, host, FLEET)
    };
    disturbance.survives_everything();
}

#[test]
fn a_stop_survives_everything() {
    let host = settled_host();
    host.deafen_guest(VM, 1).unwrap();
    Disturbance::new(60, host, format!("{FLEET}    state: stopped\n")).survives_everything();
}

#[test]
fn a_start_of_a_vm_that_is_stopping_survives_everything() {
    let host = settled_host();
    host.set_state(VM, 4, 1).unwrap();
    host.end_process_after(VM, Duration::from_secs(1)).unwrap();
    Disturbance::new(50, host, FLEET).survives_everything();
}

/// The guest's kernel becomes one of another architecture.
#[test]
fn a_move_to_an_arm64_kernel_survives_everything() {
    let case = Case::new("userland-move-restarting");
    Disturbance::new(60, case.host(), case.fleet.as_str()).survives_everything();
}

#[test]
fn a_removal_survives_everything() {
    let disturbance = Disturbance {
        policy: policy(Some("--allow-removal=1")),
        gone: &[
            "/var/lib/armfleet/vms/armhf-vm",
            "/run/armfleet/hook-seen/armhf-vm",
        ],
        ..Disturbance::new(30, settled_host(), EMPTY)
    };
    disturbance.survives_everything();
    let host = disturbance.disturbed(&Recording::default());
    assert!(host.uuid_of(VM).is_err());
}

/// A VM goes, another comes and takes its disk and its share.
#[test]
fn an_heir_survives_everything() {
    fn fleet(names: [&str; 2]) -> String {
        let vms = names.map(|name| {
            FLEET
                .split_once("vms:\n")
                .unwrap()
                .1
                .replace("armhf-vm:", &format!("{name}:"))
        });
        let [first, second] = vms;
        let second = second
            .replace(IMAGE, "/srv/second.img")
            .replace(SHARE, "/srv/second");
        format!(
            "fleet: lab\nvms:\n{first}{}",
            second.replace("armhf-vm.log", "second.log")
        )
    }
    let host = new_host();
    perform_in_order(&host, &fleet(["old", "second"]));
    Disturbance::new(90, host, fleet(["heir", "second"])).survives_everything();
}
