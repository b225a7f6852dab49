//! Why no buildpack wants an application, in words that help.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cnb_detector::run::Verdict;
use cnb_detector::{DetectError, TriedGroup, TriedModule};

/// The most lines of a buildpack's output that are shown.
const LINES: usize = 12;

/// Returns what was looked for, a paragraph a buildpack, each once.
pub(crate) fn explain(error: &DetectError) -> String {
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    for group in error.tried() {
        for module in &group.modules {
            let name = format!("{}@{}", module.id, module.version);
            // A module that passed is shown only where its group failed on the plan.
            if module.outcome.verdict != Verdict::Passed && seen.insert(name.clone()) {
                let _ = writeln!(text, "  {name}: {}", verdict(module));
                for line in last_lines(&module.outcome.output) {
                    let _ = writeln!(text, "      {line}");
                }
            }
        }
        misfits(group, &mut seen, &mut text);
    }
    text.truncate(text.trim_end().len());
    text
}

fn misfits(group: &TriedGroup, seen: &mut BTreeSet<String>, text: &mut String) {
    for misfit in &group.misfits {
        if seen.insert(misfit.clone()) {
            let _ = writeln!(text, "  {misfit}, and nothing in its group fits");
        }
    }
}

fn verdict(module: &TriedModule) -> String {
    match &module.outcome.verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Failed => "does not apply".to_owned(),
        Verdict::WrongTarget(reason) | Verdict::Broken(reason) => reason.clone(),
        Verdict::Code(code) => format!("failed with exit code {code}"),
    }
}

/// Returns the last lines of what a buildpack printed, empty ones left out.
pub(crate) fn last_lines(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|l| (*l).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnb_detector::run::Outcome;
    use cnb_spec::id::ModuleKind;
    use std::sync::Arc;

    fn module(id: &str, verdict: Verdict, output: &str) -> TriedModule {
        TriedModule {
            kind: ModuleKind::Buildpack,
            id: id.parse().unwrap(),
            version: "1".into(),
            name: String::new(),
            optional: false,
            outcome: Arc::new(Outcome { output: output.into(), ..Outcome::not_run(verdict) }),
        }
    }

    #[test]
    fn every_buildpack_is_named_once_with_what_it_wanted() {
        let group = |modules| TriedGroup { modules, misfits: Vec::new() };
        let tried = vec![
            group(vec![
                module("node", Verdict::Failed, "would need: package.json\n"),
                module("p", Verdict::Passed, ""),
            ]),
            group(vec![module("go", Verdict::Code(7), "boom\n")]),
            group(vec![module("node", Verdict::Failed, "again")]),
        ];
        let text = explain(&DetectError::NothingPassed { tried });
        assert_eq!(
            text,
            "  node@1: does not apply\n      would need: package.json\n  go@1: failed with exit code 7\n      boom"
        );
    }
}
