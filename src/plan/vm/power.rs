//! Starting, stopping and restarting one VM, and what waits for that.

use crate::domain::{Cause, Differing};
use crate::fleet::Restart;
use crate::inventory::{Domain, RunState};
use crate::mark::Phase;
use crate::plan::builder::{PlanBuilder, VmPlanner};
use crate::plan::interruption::STATE_STOPPED;
use crate::plan::kernels::{Bootable, bootable};
use crate::plan::run::{Calls, calls};
use crate::plan::step::{Act, StepId};
use crate::values::Uuid;

impl VmPlanner<'_> {
    pub(super) fn autostart(
        &self,
        domain: Option<&Domain>,
        uuid: &Uuid,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) -> Option<StepId> {
        let name = &self.vm.name;
        let on = self.vm.autostart;
        if domain.map_or(!on, |domain| domain.raw.autostart == on) {
            return None;
        }
        let reason = if on {
            "it starts with the host"
        } else {
            "it does not start with the host"
        };
        let act = Act::SetAutostart {
            uuid: uuid.clone(),
            on,
        };
        Some(builder.step(
            StepId::new("autostart", name),
            Some(name),
            reason,
            needs,
            Vec::new(),
            act,
        ))
    }

    pub(super) fn run_state(
        &self,
        domain: Option<&Domain>,
        pending: &[Differing],
        cause: Option<Cause>,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) {
        let name = &self.vm.name;
        let state = domain.map_or(RunState::Off, |domain| domain.state);
        let uuid = self.uuid(domain);
        let timeout = self.vm.stop_timeout;
        let image = self.vm.system_disk().map(|disk| disk.path.as_str());
        match calls(state, self.vm.state, name.as_str(), image) {
            Calls::Nothing if self.restarts(state, pending) => {
                self.restart(&uuid, pending, needs, builder)
            }
            Calls::Nothing => {}
            Calls::Start => self.start(&uuid, &self.why_started(), cause, needs, builder),
            Calls::AwaitThenStart => {
                let wait = Act::AwaitOff {
                    uuid: uuid.clone(),
                    timeout,
                };
                let mut needs = needs.to_vec();
                needs.extend(self.stop(
                    "it is stopping already",
                    None,
                    wait,
                    &needs.clone(),
                    builder,
                ));
                self.start(&uuid, &self.why_started(), cause, &needs, builder);
            }
            Calls::Stop if self.vm.protect => {
                let why = "protected: not stopped";
                builder.refuse(name, why, "set protect: false, or state: running");
            }
            Calls::Stop => {
                self.stop(
                    STATE_STOPPED,
                    cause,
                    Act::Stop { uuid, timeout },
                    needs,
                    builder,
                );
            }
            Calls::Await => {
                let wait = Act::AwaitOff { uuid, timeout };
                self.stop("it is stopping already", None, wait, needs, builder);
            }
            Calls::Notice(what, outlook) => builder.notice(name, what, outlook),
            Calls::Refuse(why, remedy) => builder.refuse(name, why, remedy),
        }
    }

    fn why_started(&self) -> String {
        match &self.phase {
            Phase::Own => "state: running".to_owned(),
            Phase::Installing { disk } => format!("installs it on {disk}"),
        }
    }

    /// Whether the VM is to be restarted for what waits for its boot.
    pub(super) fn restarts(&self, state: RunState, pending: &[Differing]) -> bool {
        self.vm.restart == Restart::WhenRequired
            && state == RunState::Running
            && !pending.is_empty()
    }

    fn restart(
        &self,
        uuid: &Uuid,
        pending: &[Differing],
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) {
        let name = &self.vm.name;
        let changes = pending.iter().map(ToString::to_string);
        let reason = format!("{} needs a boot", changes.collect::<Vec<_>>().join(", "));
        if self.vm.protect {
            let remedy = "set protect: false, or restart: never and wait for its next boot";
            return builder.refuse(
                name,
                format!("protected: not restarted, though {reason}"),
                remedy,
            );
        }
        // Nothing is stopped that could not be started again.
        if !self.startable(builder) {
            return;
        }
        let mut needs = needs.to_vec();
        needs.extend(self.hook.needs.iter().cloned());
        let stop = Act::Stop {
            uuid: uuid.clone(),
            timeout: self.vm.stop_timeout,
        };
        let cause = Some(Cause::FileChanged);
        needs.extend(self.stop(&reason, cause, stop, &needs.clone(), builder));
        let start = Act::Start { uuid: uuid.clone() };
        let id = StepId::new("start", name);
        let step = builder.step(
            id,
            Some(name),
            "restart: when-required",
            &needs,
            Vec::new(),
            start,
        );
        builder.because(cause, Some(step));
    }

    fn stop(
        &self,
        reason: &str,
        cause: Option<Cause>,
        act: Act,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) -> Option<StepId> {
        let name = &self.vm.name;
        let step = builder.step(
            StepId::new("stop", name),
            Some(name),
            reason,
            needs,
            Vec::new(),
            act,
        );
        builder.because(cause, Some(step))
    }

    fn start(
        &self,
        uuid: &Uuid,
        reason: &str,
        cause: Option<Cause>,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) {
        if !self.startable(builder) {
            return;
        }
        let name = &self.vm.name;
        let mut needs = needs.to_vec();
        needs.extend(self.hook.needs.iter().cloned());
        let act = Act::Start { uuid: uuid.clone() };
        let step = builder.step(
            StepId::new("start", name),
            Some(name),
            reason,
            &needs,
            Vec::new(),
            act,
        );
        builder.because(cause, Some(step));
    }

    /// Whether a start would find the hook and a kernel; the builder says why not.
    fn startable(&self, builder: &mut PlanBuilder) -> bool {
        let name = &self.vm.name;
        if self.hook.blocked {
            builder.refuse(
                name,
                "not started: the libvirt hook could not hand over its kernel",
                "see the hook's own line",
            );
            return false;
        }
        let bootable = match &self.phase {
            Phase::Own => bootable(self.input, self.vm),
            Phase::Installing { .. } => Bootable::Yes,
        };
        match bootable {
            Bootable::Yes => true,
            Bootable::No { why, remedy } => {
                builder.refuse(name, format!("not started: {why}"), remedy);
                false
            }
            Bootable::Unknown(why) => {
                builder.unknown(name, why);
                false
            }
        }
    }
}
