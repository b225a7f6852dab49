//! The resolution of build plans: which alternatives of which modules fit together.
//!
//! Pure: names in, participants and entries out. Buildpack Interface Specification, "Phase #1: Detection";
//! requirements C46 to C52.

use cnb_spec::fault;

/// One alternative of one module: what it provides and requires together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alternative {
    /// The names that are provided.
    pub provides: Vec<String>,
    /// The names that are required.
    pub requires: Vec<String>,
}

/// A module that passed detection, with its alternatives in order; there is always one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whether the group can pass without it.
    pub optional: bool,
    /// What it offers; the first is preferred.
    pub alternatives: Vec<Alternative>,
}

/// A provide or a require that has no counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The candidate requires what nothing before it provides.
    Requires {
        /// Index of the candidate.
        candidate: usize,
        /// The name.
        name: String,
    },
    /// The candidate provides what it and nothing after it requires.
    ProvidesUnused {
        /// Index of the candidate.
        candidate: usize,
        /// The name.
        name: String,
    },
}

impl Mismatch {
    /// Returns the index of the candidate whose plan does not fit.
    pub fn candidate(&self) -> usize {
        match self {
            Self::Requires { candidate, .. } | Self::ProvidesUnused { candidate, .. } => *candidate,
        }
    }
}

/// A step of the resolution, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A combination of alternatives is tried; counted from 1.
    Try(u64),
    /// A required candidate does not fit: the combination fails.
    Fail(Mismatch),
    /// An optional candidate does not fit and is left out.
    Skip(Mismatch),
    /// Nothing is left of the combination.
    Nobody,
    /// [`TRY_LIMIT`] combinations did not fit; the rest is not tried.
    GaveUp,
}

/// A dependency of a resolved plan, by indexes into the candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The candidates that provide it, in order.
    pub providers: Vec<usize>,
    /// The requires: candidate, and which of its chosen alternative's requires.
    pub requires: Vec<(usize, usize)>,
}

/// A combination that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The candidates that take part, in order, each with the index of its chosen alternative.
    pub participants: Vec<(usize, usize)>,
    /// The dependencies, in the order in which they were first required.
    pub entries: Vec<Entry>,
}

/// How many combinations are tried: their number is the product of what each plan offers, so that two plans
/// with a thousand alternatives each would keep us busy for long.
pub const TRY_LIMIT: u64 = 1 << 18;

/// Finds the first combination of alternatives that fits; the last candidate's vary fastest (C46).
pub fn resolve(candidates: &[Candidate], step: &mut dyn FnMut(Step)) -> Option<Resolved> {
    let mut chosen = vec![0; candidates.len()];
    for count in 1..=TRY_LIMIT {
        step(Step::Try(count));
        if let Some(resolved) = resolve_one(candidates, &chosen, step) {
            return Some(resolved);
        }
        if !advance(candidates, &mut chosen) {
            return None;
        }
    }
    step(Step::GaveUp);
    None
}

/// Moves to the next combination; false after the last.
fn advance(candidates: &[Candidate], chosen: &mut [usize]) -> bool {
    for (choice, candidate) in chosen.iter_mut().zip(candidates).rev() {
        *choice += 1;
        if *choice < candidate.alternatives.len() {
            return true;
        }
        *choice = 0;
    }
    false
}

fn resolve_one(candidates: &[Candidate], chosen: &[usize], step: &mut dyn FnMut(Step)) -> Option<Resolved> {
    // An optional candidate may be left out only with its last alternative (requirement C47).
    let optional = |c: usize| candidates[c].optional && chosen[c] + 1 >= candidates[c].alternatives.len();
    let mut participants: Vec<usize> = (0..candidates.len()).collect();
    loop {
        let needs = Needs::of(candidates, chosen, &participants);
        let mut left_out = Vec::new();
        for mismatch in needs.mismatches() {
            if !optional(mismatch.candidate()) || fault::is("optional-ignored") {
                step(Step::Fail(mismatch));
                return None;
            }
            left_out.push(mismatch.candidate());
            step(Step::Skip(mismatch));
        }
        if left_out.is_empty() {
            if participants.is_empty() {
                step(Step::Nobody);
                return None;
            }
            let participants = participants.into_iter().map(|c| (c, chosen[c])).collect();
            return Some(Resolved { participants, entries: needs.into_entries() });
        }
        participants.retain(|c| !left_out.contains(c));
    }
}

/// One name while a combination is walked.
#[derive(Debug, Default)]
struct Need {
    name: String,
    entry: Entry,
    /// Required before anything provided it.
    early: Vec<usize>,
    /// Provided, and not required since.
    unused: Vec<usize>,
    /// When it was first required with a provider.
    first_required: usize,
}

/// All names of a combination, in the order in which they were first seen.
struct Needs {
    all: Vec<Need>,
    by_name: std::collections::HashMap<String, usize>,
    required: usize,
}

impl Needs {
    fn of(candidates: &[Candidate], chosen: &[usize], participants: &[usize]) -> Self {
        let mut needs = Self { all: Vec::new(), by_name: std::collections::HashMap::new(), required: 0 };
        for &candidate in participants {
            let alternative = &candidates[candidate].alternatives[chosen[candidate]];
            for name in &alternative.provides {
                needs.of_name(name).unused.push(candidate);
            }
            for (index, name) in alternative.requires.iter().enumerate() {
                needs.require(name, candidate, index);
            }
        }
        needs
    }

    fn of_name(&mut self, name: &str) -> &mut Need {
        let next = self.all.len();
        let index = *self.by_name.entry(name.to_owned()).or_insert(next);
        if index == next {
            self.all.push(Need { name: name.to_owned(), ..Need::default() });
        }
        &mut self.all[index]
    }

    fn require(&mut self, name: &str, candidate: usize, index: usize) {
        let time = self.required;
        let need = self.of_name(name);
        let Need { entry, unused, .. } = need;
        entry.providers.append(unused);
        if entry.providers.is_empty() {
            need.early.push(candidate);
            return;
        }
        if entry.requires.is_empty() {
            need.first_required = time;
        }
        entry.requires.push((candidate, index));
        self.required += 1;
    }

    /// Returns what does not fit: first all requires, then all provides (requirement C49).
    fn mismatches(&self) -> Vec<Mismatch> {
        let requires = self.all.iter().flat_map(|need| {
            need.early.iter().map(|c| Mismatch::Requires { candidate: *c, name: need.name.clone() })
        });
        let provides = self.all.iter().flat_map(|need| {
            need.unused.iter().map(|c| Mismatch::ProvidesUnused { candidate: *c, name: need.name.clone() })
        });
        requires.chain(provides).collect()
    }

    fn into_entries(self) -> Vec<Entry> {
        let mut required: Vec<Need> = self.all.into_iter().filter(|n| !n.entry.requires.is_empty()).collect();
        required.sort_by_key(|n| n.first_required);
        required.into_iter().skip(usize::from(fault::is("plan-entry-lost"))).map(|n| n.entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads candidates as `+provides -requires | other alternative`, `?` for an optional one.
    fn candidates(rows: &[&str]) -> Vec<Candidate> {
        let alternative = |text: &str| {
            let names = |sign: char| {
                text.split_whitespace().filter_map(|w| w.strip_prefix(sign)).map(str::to_owned).collect()
            };
            Alternative { provides: names('+'), requires: names('-') }
        };
        let candidate = |row: &&str| Candidate {
            optional: row.starts_with('?'),
            alternatives: row.trim_start_matches('?').split('|').map(alternative).collect(),
        };
        rows.iter().map(candidate).collect()
    }

    #[track_caller]
    fn check(rows: &[&str], expected: Option<&[(usize, usize)]>) {
        let found = resolve(&candidates(rows), &mut |_| {});
        assert_eq!(found.map(|r| r.participants).as_deref(), expected, "{rows:?}");
    }

    #[test]
    fn a_require_needs_an_earlier_provide_and_a_provide_a_later_require() {
        check(&["+a", "-a"], Some(&[(0, 0), (1, 0)]));
        check(&["-a", "+a"], None);
        check(&["+a -a"], Some(&[(0, 0)]));
        check(&["+a"], None);
        check(&["-a"], None);
        check(&["", ""], Some(&[(0, 0), (1, 0)]));
        check(&[], None);
    }

    #[test]
    fn optional_candidates_are_left_out_until_the_rest_fits() {
        check(&["?+a", "?-a +b", "?-b -missing", ""], Some(&[(3, 0)]));
        check(&["?+a", "-a"], Some(&[(0, 0), (1, 0)]));
        check(&["?-a"], None);
    }

    #[test]
    fn an_optional_candidate_is_required_until_its_last_alternative() {
        check(&["? -x | -y", "+z -z"], Some(&[(1, 0)]));
        let mut tries = 0;
        resolve(&candidates(&["? -x | -y", "+z -z"]), &mut |s| tries += u32::from(matches!(s, Step::Try(_))));
        assert_eq!(tries, 2);
    }

    #[test]
    fn the_last_candidates_alternatives_vary_fastest() {
        check(&["+x | +y", "-z | -y"], Some(&[(0, 1), (1, 1)]));
        check(&["+x | +y", "-y | -x"], Some(&[(0, 0), (1, 1)]));
    }

    #[test]
    fn entries_are_ordered_by_their_first_require_and_list_all_providers() {
        let found = resolve(&candidates(&["+a +b", "-b -a", "+b", "-b"]), &mut |_| {}).unwrap();
        let expected = [
            Entry { providers: vec![0, 2], requires: vec![(1, 0), (3, 0)] },
            Entry { providers: vec![0], requires: vec![(1, 1)] },
        ];
        assert_eq!(found.entries, expected);
    }

    #[test]
    fn plans_with_very_many_alternatives_do_not_take_for_ever() {
        let many = vec!["-x"; 1000].join("|");
        let mut last = None;
        assert_eq!(resolve(&candidates(&[&many, &many, &many]), &mut |s| last = Some(s)), None);
        assert_eq!(last, Some(Step::GaveUp));
    }

    #[test]
    fn steps_tell_why() {
        let mut steps = Vec::new();
        assert_eq!(resolve(&candidates(&["?+a", "-b"]), &mut |s| steps.push(s)), None);
        let b = Mismatch::Requires { candidate: 1, name: "b".into() };
        assert_eq!(steps, [Step::Try(1), Step::Fail(b)]);
    }
}
