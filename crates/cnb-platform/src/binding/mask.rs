//! What is told of a build, without the secrets of its bindings.

use std::sync::{Mutex, PoisonError};

use super::Binding;
use super::secrets::{Mask, Secrets};
use crate::{Event, Events, Failure};

/// Does `work` with events and a failure in which every secret is `***`.
pub(crate) fn masked<T>(
    bindings: &[Binding],
    events: Events<'_>,
    work: impl FnOnce(Events<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(secrets) = Secrets::of(bindings) else { return work(events) };
    let mask = Mutex::new(Mask::default());
    let lock = || mask.lock().unwrap_or_else(PoisonError::into_inner);
    let show = |bytes: &[u8]| {
        if !bytes.is_empty() {
            events(Event::Output(bytes));
        }
    };
    let hear = |event: Event<'_>| {
        if let Event::Output(piece) = event {
            let shown = lock().feed(&secrets, piece);
            return show(&shown);
        }
        // The output of a buildpack ends where something else is told.
        let rest = lock().end();
        show(&rest);
        match event {
            Event::Message(level, text) => events(Event::Message(level, &secrets.mask(text))),
            other => events(other),
        }
    };
    let result = work(&hear);
    let rest = lock().end();
    show(&rest);
    result.map_err(|failure| Failure {
        message: secrets.mask(&failure.message),
        hint: failure.hint.map(|hint| secrets.mask(&hint)),
        ..failure
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailureKind, Level};

    #[test]
    fn output_messages_and_failures_show_no_secret() {
        let values = [("password".to_owned(), b"hunter2hunter3".to_vec())];
        let bindings = [Binding::new("db", "postgresql", values).unwrap()];
        let heard = Mutex::new(String::new());
        let hear = |event: Event<'_>| {
            let text = match event {
                Event::Output(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => format!("{other:?}\n"),
            };
            heard.lock().unwrap().push_str(&text);
        };
        let result: Result<(), Failure> = masked(&bindings, &hear, |events| {
            events(Event::Output(b"1 hunter2"));
            events(Event::Output(b"hunter3\n2 hunter2"));
            events(Event::Message(Level::Info, "3 hunter2hunter3"));
            Err(Failure::new(FailureKind::Other, "4 hunter2hunter3"))
        });
        assert_eq!(result.unwrap_err().to_string(), "4 ***");
        assert_eq!(heard.into_inner().unwrap(), "1 ***\n2 hunter2Message(Info, \"3 ***\")\n");
    }
}
