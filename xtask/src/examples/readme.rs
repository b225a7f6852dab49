//! The commands in a README, and the output that it shows.

/// A command, and what it must print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The line of the README.
    pub(super) line: usize,
    pub(super) command: String,
    /// The lines shown below it; empty when any will do.
    pub(super) output: Vec<String>,
}

impl Step {
    /// Returns the step with each port of the README replaced by the one that is really used.
    pub(super) fn with_ports(&self, ports: &[(u16, u16)]) -> Self {
        let replace = |text: &String| {
            ports.iter().fold(text.clone(), |text, (shown, real)| replace_number(&text, *shown, *real))
        };
        Self {
            line: self.line,
            command: replace(&self.command),
            output: self.output.iter().map(replace).collect(),
        }
    }
}

/// Returns the commands of all blocks of kind `console` and `sh`, in order.
pub(super) fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block: Option<&str> = None;
    let mut goes_on = false;
    for (n, line) in text.lines().enumerate() {
        match (block, line.trim_start().strip_prefix("```")) {
            (None, Some(kind)) => block = Some(kind.trim()),
            (Some(_), Some(_)) => (block, goes_on) = (None, false),
            (Some(kind @ ("console" | "sh")), None) => {
                let command = if kind == "sh" { Some(line) } else { line.strip_prefix("$ ") };
                match (steps.last_mut(), command) {
                    (Some(step), _) if goes_on => step.command = format!("{}\n{line}", step.command),
                    (_, Some(command))
                        if kind == "sh" && (command.trim().is_empty() || command.starts_with('#')) => {}
                    (_, Some(command)) => {
                        steps.push(Step { line: n + 1, command: command.to_owned(), output: Vec::new() });
                    }
                    (Some(step), None) => step.output.push(line.to_owned()),
                    (None, None) => {}
                }
                goes_on = (goes_on || command.is_some()) && line.ends_with('\\');
            }
            _ => {}
        }
    }
    steps
}

/// Returns the programs of `<!-- needs: … -->`, without which the commands cannot run.
pub(super) fn needs(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|l| l.trim().strip_prefix("<!-- needs:")?.strip_suffix("-->"));
    lines.flat_map(str::split_whitespace).collect()
}

/// Returns the port of a `cnb run … -p PORT`, a command that does not end by itself.
pub(super) fn port_of(command: &str) -> Option<u16> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let run = words.windows(2).position(|w| w == ["cnb", "run"])?;
    let port = words[run..].windows(2).find(|w| matches!(w[0], "-p" | "--port"))?[1];
    port.parse().ok()
}

/// Returns whether the lines printed are those shown; `...` stands for any number of lines.
pub(super) fn output_matches(shown: &[String], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], rest) => rest.is_empty(),
        ([any, shown @ ..], _) if any.trim() == "..." || any.trim() == "…" => {
            (0..=printed.len()).any(|n| output_matches(shown, &printed[n..]))
        }
        ([_, ..], []) => false,
        ([line, shown @ ..], [found, printed @ ..]) => {
            line.trim_end() == found.trim_end() && output_matches(shown, printed)
        }
    }
}

fn replace_number(text: &str, old: u16, new: u16) -> String {
    let old = old.to_string();
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&old) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let is_whole = !digit(before.chars().next_back()) && !digit(after.chars().next());
        replaced.push_str(before);
        replaced.push_str(&if is_whole { new.to_string() } else { old.clone() });
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` has a line per step: its line, its command, and its output behind `=>`.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<_> = steps(text)
            .iter()
            .map(|s| {
                format!("{} {} => {}", s.line, s.command, s.output.join("|"))
                    .trim_end_matches(" => ")
                    .to_owned()
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn commands_come_from_console_and_sh_blocks_only() {
        check("$ no\n```console\n$ a\nout\n\n$ b\n```\n```toml\n$ no\n```", &["3 a => out|", "6 b"]);
        check("```sh\na\n# why\n\nb \\\n  c\n```", &["2 a", "5 b \\\n  c"]);
        check("```console\n$ a \\\n  b\nout\n```", &["2 a \\\n  b => out"]);
    }

    #[test]
    fn only_a_run_with_a_port_goes_on_in_the_background() {
        assert_eq!(port_of("cnb run app -p 8080"), Some(8080));
        assert_eq!(port_of("cnb run -p 80 app --env A=b"), Some(80));
        assert_eq!(port_of("cnb run app -- -v"), None);
        assert_eq!(port_of("mkdir -p 8080"), None);
    }

    #[test]
    fn three_dots_stand_for_any_lines() {
        let check = |shown: &[&str], printed: &[&str], expected| {
            let shown: Vec<String> = shown.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(output_matches(&shown, printed), expected, "{shown:?}");
        };
        check(&["a", "...", "c"], &["a", "x", "y", "c"], true);
        check(&["a", "...", "c"], &["a", "c"], true);
        check(&["a", "..."], &["b"], false);
        check(&["a"], &["a", "b"], false);
        check(&["a "], &["a"], true);
    }

    #[test]
    fn only_whole_numbers_are_ports() {
        assert_eq!(replace_number("8080 18080 80801 :8080/8080", 8080, 5), "5 18080 80801 :5/5");
    }
}
