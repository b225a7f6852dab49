//! The events of a build as lines on standard error, and on a terminal one line below them that says what runs.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cnb_platform::{Event, Level, Phase};
use indicatif::{ProgressBar, ProgressStyle};

use crate::moment;
use crate::printer::{Look, Printer};
use crate::quantity;
use crate::text::{Lines, one_line};

/// How much of the buildpacks' output is kept for the case that something fails, when only errors are shown.
const KEPT: usize = 64 << 10;

/// Buildpacks that take less are not worth a line.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// How progress is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Colours, and how much is shown.
    pub(crate) printer: Printer,
    /// Whether there is a line that changes.
    pub(crate) live: bool,
    /// What tells the time for each line, if that is wanted.
    pub(crate) clock: Option<fn() -> SystemTime>,
}

/// Hears events, and shows them on `W`.
#[derive(Debug)]
pub(crate) struct Progress<W> {
    style: Style,
    state: Mutex<State<W>>,
}

#[derive(Debug)]
struct State<W> {
    sink: W,
    lines: Lines,
    running: Option<ProgressBar>,
    phase: Option<Phase>,
    kept: VecDeque<String>,
    kept_bytes: usize,
}

impl<W: Write + Send> Progress<W> {
    /// Starts, with nothing shown yet.
    pub(crate) fn new(style: Style, sink: W) -> Self {
        let lines = Lines::new(style.printer.colours);
        let state = State { sink, lines, running: None, phase: None, kept: VecDeque::new(), kept_bytes: 0 };
        Self { style, state: Mutex::new(state) }
    }

    /// Shows an event.
    pub(crate) fn hear(&self, event: &Event<'_>) {
        let printer = self.style.printer;
        let mut state = self.lock();
        let mut text = String::new();
        if let Event::Output(piece) = event {
            let mut lines = Vec::new();
            state.lines.feed(piece, &mut |line| lines.push(line));
            for line in lines {
                self.output(&mut state, &mut text, &line);
            }
            state.write(&text);
            return;
        }
        self.end_of_line(&mut state, &mut text);
        match event {
            Event::PhaseStarted(phase) => {
                state.phase = Some(*phase);
                self.line(&mut text, &printer.paint(Look::Heading, &format!("===> {}", phase.heading())));
                self.show_running(&mut state, doing(*phase));
            }
            Event::PhaseFinished(phase, time) => {
                if printer.verbose {
                    self.line(&mut text, &format!("{} took {}", doing(*phase), quantity::duration(*time)));
                }
            }
            Event::BuildpackStarted(id) => {
                let id = one_line(id);
                self.line(&mut text, &printer.paint(Look::Part, &format!("[{id}]")));
                self.show_running(&mut state, &id);
            }
            Event::BuildpackFinished(id, time) => {
                if printer.verbose || *time >= WORTH_TELLING {
                    let part = printer.paint(Look::Part, &format!("[{}]", one_line(id)));
                    self.line(&mut text, &format!("{part} took {}", quantity::duration(*time)));
                }
                if let Some(phase) = state.phase {
                    self.show_running(&mut state, doing(phase));
                }
            }
            Event::Layer { name, size, reused } => {
                let verb = if *reused { "Reusing" } else { "Adding" };
                self.line(&mut text, &format!("{verb} layer {} ({})", one_line(name), quantity::size(*size)));
            }
            Event::Message(level, message) => self.message(&mut text, *level, message),
            Event::Output(_) => {}
        }
        if !printer.quiet {
            state.write(&text);
        }
    }

    /// Says something that is no event of the build.
    pub(crate) fn note(&self, message: &str) {
        self.hear(&Event::Message(Level::Info, message));
    }

    /// Ends well: what is left of the output is shown, and the changing line goes.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        let mut text = String::new();
        self.end_of_line(&mut state, &mut text);
        state.write(&text);
        if let Some(bar) = state.running.take() {
            bar.finish_and_clear();
        }
        let _ = state.sink.flush();
    }

    /// Ends badly: beside what [`finish`](Self::finish) does, shows what the buildpacks printed if it was held back.
    pub(crate) fn fail(&self) {
        self.finish();
        let mut state = self.lock();
        let text: String = state.kept.drain(..).collect();
        state.write(&text);
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, text: &mut String, level: Level, message: &str) {
        let printer = self.style.printer;
        let prefix = match level {
            Level::Debug if !printer.verbose => return,
            Level::Debug | Level::Info => String::new(),
            Level::Warning => format!("{} ", printer.paint(Look::Warning, "Warning:")),
        };
        let mut lines = Lines::new(printer.colours);
        let mut first = true;
        let mut emit = |line: String| {
            let start = if std::mem::take(&mut first) { prefix.as_str() } else { "" };
            self.line(text, &format!("{start}{line}"));
        };
        lines.feed(message.as_bytes(), &mut emit);
        lines.end(&mut emit);
    }

    /// Shows a line of a buildpack, or keeps it.
    fn output(&self, state: &mut State<W>, text: &mut String, line: &str) {
        if !self.style.printer.quiet {
            self.line(text, line);
            return;
        }
        let mut kept = String::new();
        self.line(&mut kept, line);
        state.kept_bytes += kept.len();
        state.kept.push_back(kept);
        while state.kept_bytes > KEPT && state.kept.len() > 1 {
            state.kept_bytes -= state.kept.pop_front().map_or(0, |oldest| oldest.len());
        }
    }

    /// Ends a line that a buildpack has begun, so that what is ours starts on one of its own.
    fn end_of_line(&self, state: &mut State<W>, text: &mut String) {
        let mut rest = None;
        state.lines.end(&mut |line| rest = Some(line));
        if let Some(line) = rest {
            self.output(state, text, &line);
        }
    }

    fn line(&self, text: &mut String, line: &str) {
        if let Some(clock) = self.style.clock {
            text.push_str(&moment::show(clock()));
            text.push(' ');
        }
        text.push_str(line);
        text.push('\n');
    }

    fn show_running(&self, state: &mut State<W>, what: &str) {
        if !self.style.live || self.style.printer.quiet {
            return;
        }
        let bar = state.running.get_or_insert_with(spinner);
        bar.set_message(what.to_owned());
        bar.reset_elapsed();
    }
}

impl<W: Write> State<W> {
    /// Writes above the line that changes; there is nobody to tell if that does not work.
    fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let sink = &mut self.sink;
        let mut write = || {
            let _ = sink.write_all(text.as_bytes());
        };
        match &self.running {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Analyze => "analyzing",
        Phase::Detect => "detecting",
        Phase::Restore => "restoring",
        Phase::Build => "building",
        Phase::Export => "exporting",
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const PLAIN: Printer = Printer { colours: false, verbose: false, quiet: false };

    fn story(style: Style, failed: bool) -> String {
        let progress = Progress::new(style, Vec::new());
        let events = [
            Event::PhaseStarted(Phase::Build),
            Event::Message(Level::Debug, "looked here"),
            Event::Message(Level::Warning, "old\nreally"),
            Event::BuildpackStarted("cnb/a@1"),
            Event::Output(b"one\n\x1b[31mtw"),
            Event::Output(b"o"),
            Event::BuildpackFinished("cnb/a@1", Duration::from_millis(3200)),
            Event::PhaseFinished(Phase::Build, Duration::from_millis(3300)),
            Event::Layer { name: "cnb/a:x", size: 12 << 20, reused: true },
        ];
        for event in &events {
            progress.hear(event);
        }
        if failed {
            progress.fail();
        } else {
            progress.finish();
        }
        let state = progress.state.into_inner().unwrap();
        String::from_utf8(state.sink).unwrap()
    }

    #[test]
    fn events_become_lines() {
        let found = story(Style { printer: PLAIN, live: false, clock: None }, false);
        assert_eq!(
            found,
            "===> BUILDING\nWarning: old\nreally\n[cnb/a@1]\none\ntwo\n[cnb/a@1] took 3.2s\n\
             Reusing layer cnb/a:x (12 MiB)\n"
        );
    }

    #[test]
    fn verbose_shows_what_is_only_for_the_curious() {
        let printer = Printer { verbose: true, ..PLAIN };
        let found = story(Style { printer, live: false, clock: None }, false);
        assert!(found.contains("\nlooked here\n") && found.contains("\nbuilding took 3.3s\n"), "{found}");
    }

    #[test]
    fn quiet_shows_what_buildpacks_printed_only_when_something_failed() {
        let printer = Printer { quiet: true, ..PLAIN };
        let style = Style { printer, live: false, clock: None };
        assert_eq!(story(style, false), "");
        assert_eq!(story(style, true), "one\ntwo\n");
    }

    #[test]
    fn quiet_keeps_no_more_than_its_share() {
        let printer = Printer { quiet: true, ..PLAIN };
        let progress = Progress::new(Style { printer, live: false, clock: None }, Vec::new());
        for _ in 0..100_000 {
            progress.hear(&Event::Output(b"0123456789\n"));
        }
        progress.fail();
        let shown = progress.state.into_inner().unwrap().sink.len();
        assert!((KEPT / 2..=KEPT).contains(&shown), "{shown}");
    }

    #[test]
    fn timestamps_start_each_line() {
        let style = Style { printer: PLAIN, live: false, clock: Some(|| UNIX_EPOCH) };
        let found = story(style, false);
        assert!(found.lines().all(|l| l.starts_with("1970-01-01T00:00:00.000Z ")), "{found}");
    }
}
