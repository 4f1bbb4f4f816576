//! The states of a domain, as libvirt numbers them (`virDomainState` and the reasons beside it, `libvirt-domain.h`).
//!
//! ```text
//!            start                     guest stops, shutdown
//!   off ───────────────▶ running ───────────────────▶ stopping ───▶ off
//!    ▲                   │    ▲                                      ▲
//!    │ crash (destroyed) │    │ resume                               │
//!    └───────────────────┤    │                    destroy           │
//!                        ├──▶ paused ────────────────────────────────┤
//!                        ├──▶ sleeping (the guest suspended itself) ─┤
//!                        └──▶ crashed (kept for inspection) ─────────┘
//! ```

/// What a domain is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// No process.
    Off,
    /// Its process runs.
    Running,
    /// Its process is held.
    Paused(Pause),
    /// It was asked to stop and has not ended yet.
    Stopping,
    /// Its guest crashed and `on_crash` keeps the process for inspection.
    Crashed,
    /// Its guest put itself to sleep.
    Sleeping,
    /// A state that this version does not know.
    Unknown(u32),
}

/// Why a process is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It was suspended (`virsh suspend`).
    ByUser,
    /// Its disk could not be written.
    IoError,
    /// libvirt is at work on it: saving, migrating, dumping, starting.
    AtWork,
    /// Anything else.
    Other,
}

impl RunState {
    /// Reads libvirt's numbers.
    #[must_use]
    pub fn read(state: u32, reason: u32) -> Self {
        match state {
            // Without state means that the hypervisor tells none; libvirt's own tools take it for running.
            0..=2 => Self::Running,
            3 => Self::Paused(match reason {
                1 => Pause::ByUser,
                5 => Pause::IoError,
                2..=4 | 7..=9 | 11 | 12 => Pause::AtWork,
                _ => Pause::Other,
            }),
            4 => Self::Stopping,
            5 => Self::Off,
            6 => Self::Crashed,
            7 => Self::Sleeping,
            other => Self::Unknown(other),
        }
    }

    /// Whether there is a process.
    #[must_use]
    pub fn has_process(self) -> bool {
        self != Self::Off
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::Running => "running",
            Self::Paused(Pause::IoError) => "paused by an I/O error",
            Self::Paused(_) => "paused",
            Self::Stopping => "stopping",
            Self::Crashed => "crashed",
            Self::Sleeping => "sleeping",
            Self::Unknown(_) => "unknown",
        })
    }
}
