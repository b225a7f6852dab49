//! Stopping transfers from another thread: Ctrl-C, a time-out, a failure elsewhere.

use std::sync::Arc;

use tokio::sync::watch;

/// Stops the client that has a clone of it, at once and for good.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Makes one that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops: whatever waits for a registry gives up, and nothing is begun any more.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Returns whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is stopped.
    pub async fn stopped(&self) {
        let mut changes = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = changes.wait_for(|stopped| *stopped).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_stop_the_same_thing() {
        let one = Stop::new();
        let two = one.clone();
        assert!(!two.is_stopped());
        one.stop();
        assert!(two.is_stopped());
    }
}
