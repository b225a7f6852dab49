//! Deliberate faults, by which the specification cases are tested: each must be caught by a case.
//!
//! They exist only with the feature `faults`, which no build enables by itself: without it every question is
//! answered by a constant, and nothing of this is in a program. `spec-tests/mutations.toml` lists them all.

use crate::env::Env;

/// The variable that names the fault of a process.
pub const VARIABLE: &str = "CNB_TEST_FAULT";

#[cfg(feature = "faults")]
static FAULT: std::sync::OnceLock<std::ffi::OsString> = std::sync::OnceLock::new();

/// Takes the fault of this process out of its environment, once, before anything else asks.
#[cfg(feature = "faults")]
pub fn take(env: &mut Env) {
    if let Some(fault) = env.remove(std::ffi::OsStr::new(VARIABLE)) {
        // Who asked first decides.
        let _ = FAULT.set(fault);
    }
}

/// Returns whether this process has the fault `name`.
#[cfg(feature = "faults")]
pub fn is(name: &str) -> bool {
    FAULT.get().is_some_and(|fault| fault == name)
}

/// Does nothing: this program has no faults to choose from.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn take(_env: &mut Env) {}

/// Returns that there is no such fault.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn is(_name: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the feature a fault is taken out of the environment; without it the variable is one like any other.
    #[test]
    fn only_a_program_with_faults_knows_the_variable() {
        let mut env = Env::from([(VARIABLE.into(), "a".into()), ("PATH".into(), "/bin".into())]);
        take(&mut env);
        assert_eq!(is("a"), cfg!(feature = "faults"));
        assert!(!is("b"));
        assert_eq!(env.len(), if cfg!(feature = "faults") { 1 } else { 2 });
    }
}
