//! How a run ended, as an exit code (experience.md).

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything asked for is done.
    Done,
    /// Stopped; the next run goes on from here.
    Stopped,
    /// Preflight found an error; nothing was changed.
    Preflight,
    /// Refused, or not confirmed.
    Refused,
    /// Done, but something could not be observed.
    Unobserved,
    /// Interrupted; the state is saved.
    Interrupted,
}

impl Outcome {
    /// The exit code of the process.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Stopped => 1,
            Self::Preflight => 2,
            Self::Refused => 3,
            Self::Unobserved => 4,
            Self::Interrupted => 130,
        }
    }
}
