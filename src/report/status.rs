//! The state of VMs, a line each.

use super::style::{Paint, Tone};
use crate::inventory::{Fact, Inventory};
use crate::plan::{Plan, kernels};
use crate::spec::{GuestReboot, Vm};
use std::fmt::Write as _;

/// The state of some VMs of a fleet: what they do, which kernel they run, and what there is to say about them.
#[must_use]
pub fn render_status(vms: &[&Vm], plan: &Plan, inventory: &Inventory, paint: Paint) -> String {
    let mut rows = vec![["VM", "STATE", "KERNEL", "NEXT START"].map(str::to_owned)];
    rows.extend(vms.iter().map(|vm| row(vm, inventory)));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (name, state, kernel) = (width(0), width(1), width(2));
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let line = format!(
            "{:<name$}  {:<state$}  {:<kernel$}  {}",
            row[0], row[1], row[2], row[3]
        );
        let _ = writeln!(text, "{}", line.trim_end());
        if let Some(vm) = at.checked_sub(1).and_then(|at| vms.get(at)) {
            remarks(&mut text, vm, plan, paint);
        }
    }
    watcher(&mut text, vms, inventory, paint);
    text
}

/// Who watches, where a VM relies on somebody who does.
fn watcher(text: &mut String, vms: &[&Vm], inventory: &Inventory, paint: Paint) {
    let rely = |vm: &&Vm| vm.on_guest_reboot == GuestReboot::ColdBoot;
    if !vms.iter().any(rely) {
        return;
    }
    let (tone, sign, who) = match inventory.watcher() {
        Fact::Present(holder) => (Tone::Quiet, "i", format!("at work ({holder})")),
        Fact::Absent => (
            Tone::Bad,
            "!",
            "nobody runs it, so VMs whose guests reboot stay off".to_owned(),
        ),
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => (
            Tone::Bad,
            "?",
            format!("not seen: {}", fact.unknown().unwrap_or_default()),
        ),
    };
    let _ = writeln!(text, "{} armfleet watch: {who}", paint.tone(tone, sign));
}

fn row(vm: &Vm, inventory: &Inventory) -> [String; 4] {
    let state = match &inventory.domains {
        Fact::Present(domains) => match domains.get(vm.name.as_str()) {
            Some(domain) => domain.state.to_string(),
            None => "not created".to_owned(),
        },
        _ => "not seen".to_owned(),
    };
    let kernels = kernels(inventory, vm);
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let next = kernels
        .offered
        .clone()
        .or_else(|| kernels.staged.clone().map(|_| "the same".to_owned()));
    [vm.name.to_string(), state, dash(kernels.staged), dash(next)]
}

fn remarks(text: &mut String, vm: &Vm, plan: &Plan, paint: Paint) {
    let name = vm.name.as_str();
    let steps = plan
        .steps
        .iter()
        .filter(|step| step.vm.as_ref() == Some(&vm.name))
        .count();
    if steps > 0 {
        let sign = paint.tone(Tone::Attention, "~");
        let steps = if steps == 1 {
            "1 step".to_owned()
        } else {
            format!("{steps} steps")
        };
        let _ = writeln!(
            text,
            "  {sign} differs from the fleet file in {steps}; see armfleet plan"
        );
    }
    for refusal in plan
        .refusals
        .iter()
        .filter(|refusal| refusal.subject == name)
    {
        let _ = writeln!(text, "  {} {}", paint.tone(Tone::Bad, "!"), refusal.why);
    }
    for unknown in plan
        .unknowns
        .iter()
        .filter(|unknown| unknown.subject == name)
    {
        let _ = writeln!(text, "  {} {}", paint.tone(Tone::Bad, "?"), unknown.why);
    }
    for notice in plan.notices.iter().filter(|notice| notice.subject == name) {
        let outlook = match notice.outlook.as_str() {
            "" => String::new(),
            outlook => format!(", {outlook}"),
        };
        let sign = paint.tone(Tone::Quiet, "i");
        let _ = writeln!(text, "  {sign} {}{outlook}", notice.what);
    }
}
