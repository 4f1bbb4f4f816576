//! The pair that a VM boots while its share has none.

use crate::boot::{SeedPart, SeedReceipt, read_seed_receipt};
use crate::fleet::Vm;
use crate::inventory::{Fact, FileKind, Inventory, RawFile};
use crate::paths;
use crate::plan::builder::{Blocked, PlanBuilder, PlanInput};
use crate::plan::copies::{Expected, damage};
use crate::plan::step::{Act, SeedSource, StepId};
use crate::values::HostPath;

/// Plans the staging of the seed pair.
pub(super) fn seed(
    input: &PlanInput<'_>,
    vm: &Vm,
    builder: &mut PlanBuilder,
) -> Result<Option<StepId>, Blocked> {
    let Some(seed) = &vm.boot.seed else {
        return Ok(None);
    };
    let receipt = staged_seed(input, vm, builder)?;
    let damage = seed_damage(input.inventory, vm);
    let staged = receipt.is_some() && damage.is_none();
    let mut source = |path, name| seed_source(input, vm, path, name, staged, builder);
    // Both are looked at before the first one's fault counts.
    let kernel = source(&seed.kernel, SEED_KERNEL);
    let initrd = source(&seed.initrd, SEED_INITRD);
    let (Some(kernel), Some(initrd)) = (kernel?, initrd?) else {
        return Ok(None);
    };
    // The same bytes at another path are no change.
    let same = |part: &SeedPart, source: &SeedSource| part.sha256.as_str() == source.sha256;
    let reason = match (&receipt, damage) {
        (Some(_), Some(damage)) => format!("staged again, since its copy is damaged: {damage}"),
        (Some(receipt), None)
            if same(&receipt.kernel, &kernel) && same(&receipt.initrd, &initrd) =>
        {
            return Ok(None);
        }
        (Some(_), None) => "the seed's files changed".to_owned(),
        (None, _) => "the pair to boot while the share has none".to_owned(),
    };
    let files = [(&seed.kernel, SEED_KERNEL), (&seed.initrd, SEED_INITRD)];
    refuse_unfit(input, vm, files, builder)?;
    let act = Act::StageSeed {
        kernel,
        initrd,
        replaces: receipt.is_some(),
    };
    Ok(Some(builder.step(
        StepId::new("seed", &vm.name),
        Some(&vm.name),
        reason,
        &[],
        Vec::new(),
        act,
    )))
}

/// What is wrong with the staged seed, if anything is to be seen.
fn seed_damage(inventory: &Inventory, vm: &Vm) -> Option<String> {
    let file = inventory.path(&paths::seed_receipt(&vm.name)).present()?;
    let receipt = receipt_in(file)?;
    let expected = Expected::by_receipt(file, &receipt.kernel, &receipt.initrd);
    damage(inventory, &paths::seed_folder(&vm.name), expected)
}

/// Whether what an apply staged as the seed is not there as it was.
pub(super) fn seed_is_lost(input: &PlanInput<'_>, vm: &Vm) -> bool {
    let receipt = input.inventory.path(&paths::seed_receipt(&vm.name));
    receipt.is_absent() || seed_damage(input.inventory, vm).is_some()
}

/// What a seed's receipt says. One that cannot be understood, or that is not root's, is as good as none: the seed is staged
/// again.
fn receipt_in(file: &RawFile) -> Option<SeedReceipt> {
    let text = file
        .text
        .as_deref()
        .filter(|_| file.not_roots().is_none())?;
    read_seed_receipt(text.as_bytes()).ok()
}

fn staged_seed(
    input: &PlanInput<'_>,
    vm: &Vm,
    builder: &mut PlanBuilder,
) -> Result<Option<SeedReceipt>, Blocked> {
    let path = paths::seed_receipt(&vm.name);
    match input.inventory.path(&path) {
        Fact::Present(file) => Ok(receipt_in(file)),
        Fact::Absent => Ok(None),
        fact => Err(builder.unreadable(&vm.name, path, fact.unknown())),
    }
}

/// Fails if what is about to be staged boots no guest of the VM's. What was staged before is left to the hook: a VM that moved to
/// another architecture has a kernel of its own, and a seed that it needs no more.
pub(super) fn refuse_unfit<const N: usize>(
    input: &PlanInput<'_>,
    vm: &Vm,
    files: [(&HostPath, SourceName); N],
    builder: &mut PlanBuilder,
) -> Result<(), Blocked> {
    let mut fits = Ok(());
    for (path, (what, key)) in files {
        let seen = input.inventory.path(path.as_str()).present();
        if let Some(why) = seen.and_then(|file| file.unfit.get(vm.arch.word)) {
            let arch = vm.arch;
            builder.refuse(
                &vm.name,
                format!("its {what} {path} cannot boot: {why}"),
                format!("copy a whole one for {arch} there again, or name another in {key}"),
            );
            fits = Err(Blocked);
        }
    }
    fits
}

/// What a file of a seed or an installer is called, and the key that names it.
pub(super) type SourceName = (&'static str, &'static str);

const SEED_KERNEL: SourceName = ("seed", "boot.seed.kernel");
const SEED_INITRD: SourceName = ("seed", "boot.seed.initrd");
pub(super) const INSTALLER_KERNEL: SourceName = ("installer", "install.kernel");
pub(super) const INSTALLER_INITRD: SourceName = ("installer", "install.initrd");
pub(super) const INSTALLER_FILE: SourceName = ("installer's file", "install.files");

/// One file of a seed or an installer; none where it is gone and no longer needed.
pub(super) fn seed_source(
    input: &PlanInput<'_>,
    vm: &Vm,
    path: &HostPath,
    (what, key): SourceName,
    staged: bool,
    builder: &mut PlanBuilder,
) -> Result<Option<SeedSource>, Blocked> {
    match input.inventory.path(path.as_str()) {
        Fact::Present(file) if file.stat.kind != FileKind::File => {
            builder.refuse(
                &vm.name,
                format!("its {what} {path} is not a plain file"),
                "name the file itself",
            );
            Err(Blocked)
        }
        Fact::Present(file) => match &file.sha256 {
            Some(sha256) => Ok(Some(SeedSource {
                path: path.clone(),
                sha256: sha256.clone(),
            })),
            None => {
                builder.unknown(&vm.name, format!("{path} could not be read"));
                Err(Blocked)
            }
        },
        Fact::Absent if staged => {
            builder.notice(
                &vm.name,
                format!("its {what} {path} is gone"),
                "the copy staged before stays in use",
            );
            Ok(None)
        }
        Fact::Absent => {
            builder.refuse(
                &vm.name,
                format!("its {what} {path} is not there"),
                format!("put the file there, or correct {key}"),
            );
            Err(Blocked)
        }
        fact => Err(builder.unreadable(&vm.name, path, fact.unknown())),
    }
}
