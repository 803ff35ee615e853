//! The phases of a canary and the legal transitions between them.

use std::fmt;

/// Phase of a canary, `status.phase` (names and order are Flagger's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Phase {
    /// No status yet (written as an empty string).
    #[default]
    None,
    /// The primary and the other generated objects are being created.
    Initializing,
    /// The primary serves all traffic; no release has run yet.
    Initialized,
    /// A gate keeps a new revision from being scaled up.
    Waiting,
    /// A new revision is being analysed.
    Progressing,
    /// A gate keeps an analysed revision from being promoted.
    WaitingPromotion,
    /// The primary is rolling out the new revision.
    Promoting,
    /// The primary gets all traffic; the canary is about to be scaled down.
    Finalising,
    /// The last release was promoted.
    Succeeded,
    /// The last release was rolled back, or its promotion failed.
    Failed,
    /// The canary is being deleted and reverted.
    Terminating,
}

impl Phase {
    /// Every phase, in the order of the enum.
    pub const ALL: [Phase; 11] = [
        Phase::None,
        Phase::Initializing,
        Phase::Initialized,
        Phase::Waiting,
        Phase::Progressing,
        Phase::WaitingPromotion,
        Phase::Promoting,
        Phase::Finalising,
        Phase::Succeeded,
        Phase::Failed,
        Phase::Terminating,
    ];

    /// The text of `status.phase`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::None => "",
            Phase::Initializing => "Initializing",
            Phase::Initialized => "Initialized",
            Phase::Waiting => "Waiting",
            Phase::Progressing => "Progressing",
            Phase::WaitingPromotion => "WaitingPromotion",
            Phase::Promoting => "Promoting",
            Phase::Finalising => "Finalising",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
            Phase::Terminating => "Terminating",
        }
    }

    /// Parses the text of `status.phase`; `None` if it is not one of Flagger's phases.
    #[must_use]
    pub fn parse(text: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

/// Every legal change of phase. Staying in a phase is always legal, and so is the change to `Terminating`.
///
/// These are Flagger's, with three additions. `Waiting` may end in `Failed` or `Succeeded` (a rollback webhook passed,
/// or the waiting revision was withdrawn). `Promoting` may go back to `Progressing` (someone else changed the primary,
/// so nothing that runs has been analysed).
pub const TRANSITIONS: [(Phase, Phase); 22] = [
    (Phase::None, Phase::Initializing),
    (Phase::Initializing, Phase::Initialized),
    (Phase::Initialized, Phase::Waiting),
    (Phase::Initialized, Phase::Progressing),
    (Phase::Waiting, Phase::Progressing),
    (Phase::Waiting, Phase::Failed),
    (Phase::Waiting, Phase::Succeeded),
    (Phase::Progressing, Phase::WaitingPromotion),
    (Phase::Progressing, Phase::Promoting),
    (Phase::Progressing, Phase::Failed),
    (Phase::WaitingPromotion, Phase::Progressing),
    (Phase::WaitingPromotion, Phase::Promoting),
    (Phase::WaitingPromotion, Phase::Failed),
    (Phase::Promoting, Phase::Progressing),
    (Phase::Promoting, Phase::Finalising),
    (Phase::Promoting, Phase::Failed),
    (Phase::Finalising, Phase::Succeeded),
    (Phase::Finalising, Phase::Failed),
    (Phase::Succeeded, Phase::Waiting),
    (Phase::Succeeded, Phase::Progressing),
    (Phase::Failed, Phase::Waiting),
    (Phase::Failed, Phase::Progressing),
];

impl Phase {
    /// Returns whether the phase may change from `self` to `next`.
    #[must_use]
    pub fn may_become(self, next: Phase) -> bool {
        self == next || next == Phase::Terminating || TRANSITIONS.contains(&(self, next))
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
