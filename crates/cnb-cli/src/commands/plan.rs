//! `cnb plan`: what a build would do, without building.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use cnb_platform::{BuildPlan, Cancel, Event, Level, PlannedBuildpack};

use crate::args::PlanArgs;
use crate::error::CliError;
use crate::printer::{Look, Printer};
use crate::progress::{Progress, Style};
use crate::request::{self, Surroundings};
use crate::text::one_line;
use crate::world::World;
use crate::{remote, signals};

/// Shows the plan on standard output.
pub(crate) fn run(args: &PlanArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    let request = request::plan(args, &Surroundings::of(world)?)?;
    let (platform, _) = remote::platform(&args.remote, world, printer)?;
    let style = Style { printer, live: false, clock: None };
    let progress = Arc::new(Progress::new(style, io::stderr()));
    let cancel = Cancel::new();
    signals::stop(cancel.clone(), Arc::clone(&progress)).map_err(CliError::Signals)?;
    let hear = |event: Event<'_>| {
        // The plan is the output; how it came about is only interesting when something is wrong.
        if printer.verbose || matches!(event, Event::Message(Level::Warning, _)) {
            progress.hear(&event);
        }
    };
    let plan = match platform.plan(&request, &hear, &cancel) {
        Ok(plan) => plan,
        Err(failure) => {
            progress.fail();
            return Err(failure.into());
        }
    };
    progress.finish();
    if args.json {
        return printer.json(&plan);
    }
    let colours = Printer { colours: world.stdout_terminal && printer.colours, ..printer };
    printer.data(&show(&plan, colours))
}

fn show(plan: &BuildPlan, printer: Printer) -> String {
    let mut text = String::new();
    for buildpack in &plan.buildpacks {
        show_buildpack(&mut text, buildpack, printer);
    }
    section(
        &mut text,
        "Processes",
        printer,
        plan.processes.iter().map(|(name, process)| format!("{name}: {}", process.command)),
    );
    section(
        &mut text,
        "Passed over",
        printer,
        plan.passed_over.iter().map(|passed| {
            let lines: Vec<String> = passed.reason.lines().map(one_line).collect();
            format!("{}: {}", passed.buildpack, lines.join("\n      "))
        }),
    );
    section(
        &mut text,
        "Not tried, since a group in front of theirs matched",
        printer,
        plan.not_tried.iter().cloned(),
    );
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "\n{} {}", printer.paint(Look::Part, "Run image:"), one_line(&plan.run_image));
    text
}

fn show_buildpack(text: &mut String, buildpack: &PlannedBuildpack, printer: Printer) {
    let intent = &buildpack.intent;
    let name = printer.paint(Look::Part, &one_line(&format!("{}@{}", buildpack.id, buildpack.version)));
    let because = if intent.because.is_empty() { String::new() } else { format!(", for {}", intent.because) };
    let _ = writeln!(text, "{name}{}", one_line(&because));
    for version in &intent.versions {
        let line = format!("{} {} ({})", version.of, version.version, version.source);
        let _ = writeln!(text, "  uses   {}", one_line(&line));
    }
    for command in &intent.commands {
        let _ = writeln!(text, "  runs   {}", one_line(command));
    }
    for (process, command) in &intent.processes {
        let _ = writeln!(text, "  starts {}", one_line(&format!("{process}: {command}")));
    }
    for entry in &buildpack.entries {
        let empty = entry.metadata.as_object().is_none_or(serde_json::Map::is_empty);
        let metadata = if empty { String::new() } else { format!(" {}", entry.metadata) };
        let _ = writeln!(text, "  plan   {}", one_line(&format!("{}{metadata}", entry.name)));
    }
}

fn section(text: &mut String, title: &str, printer: Printer, lines: impl Iterator<Item = String>) {
    for (number, line) in lines.enumerate() {
        if number == 0 {
            let _ = writeln!(text, "\n{}", printer.paint(Look::Part, &format!("{title}:")));
        }
        let _ = writeln!(text, "  {line}");
    }
}

#[cfg(test)]
mod tests {
    use cnb_platform::{PassedOver, PlannedEntry, PlannedIntent, PlannedProcess, PlannedVersion};

    use super::*;

    #[test]
    fn a_plan_is_told_from_the_buildpacks_to_what_was_passed_over() {
        let intent = PlannedIntent {
            because: "a `go.mod`".into(),
            versions: vec![PlannedVersion {
                of: "go".into(),
                version: "1.22".into(),
                source: "go.mod".into(),
            }],
            commands: vec!["go build .".into()],
            processes: [("web".to_owned(), "app".to_owned())].into(),
        };
        let entry = PlannedEntry { name: "ca".into(), metadata: serde_json::json!({"launch": true}) };
        let planned = |id: &str, intent, entries| PlannedBuildpack {
            id: id.into(),
            version: "1".into(),
            intent,
            entries,
        };
        let plan = BuildPlan {
            app: "/app".into(),
            run_image: "host".into(),
            buildpacks: vec![
                planned("cnb/go", intent, Vec::new()),
                planned("their/own", PlannedIntent::default(), vec![entry]),
            ],
            passed_over: vec![PassedOver {
                buildpack: "cnb/nodejs@1".into(),
                reason: "would need: x\nor y".into(),
            }],
            not_tried: vec!["cnb/static@1".into()],
            processes: [(
                "web".to_owned(),
                PlannedProcess { command: "app".into(), buildpack: "cnb/go@1".into() },
            )]
            .into(),
            warnings: Vec::new(),
        };
        let expected = "\
cnb/go@1, for a `go.mod`
  uses   go 1.22 (go.mod)
  runs   go build .
  starts web: app
their/own@1
  plan   ca {\"launch\":true}

Processes:
  web: app

Passed over:
  cnb/nodejs@1: would need: x
      or y

Not tried, since a group in front of theirs matched:
  cnb/static@1

Run image: host
";
        assert_eq!(show(&plan, Printer { colours: false, verbose: false, quiet: false }), expected);
    }
}
