//! Whether an app listens where it was told to, and a hint where it does not: what works on this machine may be out of
//! reach in a container.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use cnb_platform::Listening;

use crate::printer::Printer;

/// How long an app may take to start before something is said.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an app that listens elsewhere may take to listen at its port, too.
const ELSEWHERE: Duration = Duration::from_secs(5);
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks at an app until it listens at its port, or one hint was given.
pub(crate) fn watch(app: Listening, port: u16, printer: Printer) {
    thread::spawn(move || {
        let mut waited = Duration::ZERO;
        let mut elsewhere = Duration::ZERO;
        // An app that has ended, or whose files are not shown, needs no hint.
        while let Some(listening) = app.addresses() {
            let is_over = waited >= PATIENCE || elsewhere >= ELSEWHERE;
            match Health::of(port, &listening) {
                Health::Good => return,
                health if is_over || matches!(health, Health::Alone(_)) => {
                    return printer.warn(&health.hint(port));
                }
                Health::Elsewhere(_) => elsewhere += PAUSE,
                Health::Alone(_) | Health::Silent => elsewhere = Duration::ZERO,
            }
            thread::sleep(PAUSE);
            waited += PAUSE;
        }
    });
}

/// How an app listens.
#[derive(Debug, PartialEq, Eq)]
enum Health {
    /// At its port, for others, too.
    Good,
    /// At its port, but for this machine alone.
    Alone(SocketAddr),
    /// At other ports.
    Elsewhere(Vec<u16>),
    /// Nowhere.
    Silent,
}

impl Health {
    fn of(port: u16, listening: &[SocketAddr]) -> Self {
        let at_port: Vec<&SocketAddr> = listening.iter().filter(|a| a.port() == port).collect();
        match at_port.first() {
            Some(_) if at_port.iter().any(|a| !a.ip().to_canonical().is_loopback()) => Self::Good,
            Some(alone) => Self::Alone(**alone),
            None if listening.is_empty() => Self::Silent,
            None => {
                let mut ports: Vec<u16> = listening.iter().map(SocketAddr::port).collect();
                ports.sort_unstable();
                ports.dedup();
                Self::Elsewhere(ports)
            }
        }
    }

    fn hint(&self, port: u16) -> String {
        match self {
            Self::Good => format!("the app listens at port {port}"),
            Self::Alone(address) => format!(
                "the app listens at {address} alone: in a container nobody reaches it there; let it listen at `0.0.0.0`"
            ),
            Self::Elsewhere(ports) => {
                let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
                format!(
                    "the app does not listen at port {port}, but at {ports}: let it read the port from the variable `PORT`"
                )
            }
            Self::Silent => format!(
                "the app does not listen at port {port} yet: it should listen at the port in the variable `PORT`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, SocketAddr};

    fn health(listening: &[&str]) -> Health {
        let all: Vec<SocketAddr> = listening.iter().map(|a| a.parse().unwrap()).collect();
        Health::of(8080, &all)
    }

    #[test]
    fn one_address_that_others_reach_is_enough() {
        assert_eq!(health(&["127.0.0.1:8080", "[::]:8080"]), Health::Good);
        assert_eq!(health(&["0.0.0.0:8080", "127.0.0.1:9000"]), Health::Good);
    }

    #[test]
    fn an_app_for_this_machine_alone_is_told_so() {
        let alone = health(&["127.0.0.1:8080", "0.0.0.0:9000"]);
        assert!(alone.hint(8080).contains("127.0.0.1:8080 alone"));
        assert!(health(&["[::1]:8080"]).hint(8080).contains("[::1]:8080 alone"));
        assert!(matches!(health(&["[::ffff:127.0.0.1]:8080"]), Health::Alone(_)));
    }

    #[test]
    fn an_app_elsewhere_is_told_where() {
        let elsewhere = health(&["0.0.0.0:3000", "[::]:3000", "127.0.0.1:9229"]);
        assert_eq!(elsewhere, Health::Elsewhere(vec![3000, 9229]));
        assert!(elsewhere.hint(8080).contains("8080, but at 3000, 9229"));
        assert!(health(&[]).hint(8080).contains("port 8080 yet"));
    }
}
