//! Stopping a build from another thread: Ctrl-C, a time-out, a full disk.

use std::sync::{Arc, Mutex, PoisonError};

use cnb_registry::Stop;
use cnb_sandbox::Killer;

use crate::{Failure, FailureKind, Phase};

/// Why a build was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The user asked for it.
    Interrupted,
    /// It took longer than allowed, in seconds.
    TimedOut(u64),
    /// It wrote more than allowed, in bytes.
    DiskFull(u64),
}

/// Stops what runs; clones stop the same build.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    stopped: Option<Stopped>,
    killer: Option<Killer>,
    transfers: Stop,
}

impl Cancel {
    /// Makes one that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the build; the first reason counts.
    pub fn stop(&self, why: Stopped) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped.get_or_insert(why);
        state.transfers.stop();
        if let Some(killer) = &state.killer {
            killer.kill();
        }
    }

    /// Returns what stops transfers from and to registries.
    pub(crate) fn transfers(&self) -> Stop {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).transfers.clone()
    }

    /// Returns why the build was stopped, `None` while it was not.
    pub fn stopped(&self) -> Option<Stopped> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stopped.clone()
    }

    /// Names the sandbox to kill; one that comes too late is killed at once.
    pub(crate) fn attach(&self, killer: Killer) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stopped.is_some() {
            killer.kill();
        }
        state.killer = Some(killer);
    }

    /// Forgets the sandbox.
    pub(crate) fn detach(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).killer = None;
    }
}

/// Returns the failure of a build that was stopped.
pub(crate) fn failure(why: &Stopped) -> Failure {
    match why {
        Stopped::Interrupted => Failure::new(FailureKind::Interrupted, "interrupted"),
        Stopped::TimedOut(seconds) => {
            let failure =
                Failure::new(FailureKind::TimedOut, format!("the build took longer than {seconds} seconds"));
            failure.hint("--timeout allows more")
        }
        Stopped::DiskFull(bytes) => {
            let message = format!("the build wrote more than {} MiB", *bytes >> 20);
            Failure::new(FailureKind::Phase(Phase::Build), message).hint("--disk allows more")
        }
    }
}
