//! Giving requests up before the engine has answered: Ctrl-C, or a time-out of what they belong to.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// Ready once requests are to be given up.
type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells requests when to give up.
#[derive(Clone)]
pub struct Interrupt(Arc<dyn Fn() -> Stopped + Send + Sync>);

impl Interrupt {
    /// Takes the function that makes futures, each of which is ready once requests are to be given up.
    pub fn new<F>(stopped: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(stopped())))
    }

    /// Does `work`; returns `None` if it was given up.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut stopped, mut work) = ((self.0)(), pin!(work));
        poll_fn(|cx| {
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

impl Default for Interrupt {
    /// Never gives up.
    fn default() -> Self {
        Self::new(std::future::pending)
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupt")
    }
}
