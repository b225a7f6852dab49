//! Why there is no sandbox.

use std::io;

use cnb_fs::HostPath;

/// A sandbox that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The program that becomes the sandbox's first process could not be started.
    #[error("failed to start `{path}`")]
    Start {
        /// The program.
        path: HostPath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One step of the set-up failed; the kernel said why.
    #[error("failed to {step} for the sandbox")]
    Step {
        /// What was tried, as a verb: "mount an overlay at `/layers`".
        step: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The first process ended without saying why.
    #[error("`{path}` ended before the sandbox was ready")]
    Ended {
        /// The program.
        path: HostPath,
    },
    /// A configuration that must not be used.
    #[error("refused a sandbox whose commands would be root on the host: choose an unprivileged host user")]
    Root,
}
