//! Properties that hold for every resolution of plans, and for every text that might be a Dockerfile.

use cnb_detector::dockerfile::Dockerfile;
use cnb_detector::trial::{Alternative, Candidate, resolve};
use proptest::collection::vec;
use proptest::prelude::*;

fn names() -> impl Strategy<Value = Vec<String>> {
    vec((0..4_u8).prop_map(|n| char::from(b'a' + n).to_string()), 0..3)
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let alternative = (names(), names()).prop_map(|(provides, requires)| Alternative { provides, requires });
    let candidate = (any::<bool>(), vec(alternative, 1..3))
        .prop_map(|(optional, alternatives)| Candidate { optional, alternatives });
    vec(candidate, 0..6)
}

proptest! {
    #[test]
    fn a_resolved_plan_fits_and_keeps_every_required_candidate(candidates in candidates()) {
        let Some(found) = resolve(&candidates, &mut |_| {}) else { return Ok(()) };
        prop_assert!(!found.participants.is_empty());
        prop_assert!(found.participants.is_sorted());
        for (index, candidate) in candidates.iter().enumerate() {
            let takes_part = found.participants.iter().any(|(c, _)| *c == index);
            prop_assert!(takes_part || candidate.optional);
        }
        let mut provided: Vec<&str> = Vec::new();
        let mut unused: Vec<&str> = Vec::new();
        let (mut provides, mut requires) = (0, 0);
        for (candidate, chosen) in &found.participants {
            let alternative = &candidates[*candidate].alternatives[*chosen];
            for name in &alternative.provides {
                provided.push(name);
                unused.push(name);
                provides += 1;
            }
            for name in &alternative.requires {
                prop_assert!(provided.contains(&name.as_str()));
                unused.retain(|u| u != name);
                requires += 1;
            }
        }
        prop_assert!(unused.is_empty());
        prop_assert_eq!(found.entries.iter().map(|e| e.requires.len()).sum::<usize>(), requires);
        prop_assert_eq!(found.entries.iter().map(|e| e.providers.len()).sum::<usize>(), provides);
    }

    #[test]
    fn adding_an_optional_candidate_without_a_plan_changes_nothing_else(candidates in candidates()) {
        let with = [&candidates[..], &[Candidate { optional: true, alternatives: vec![Alternative::default()] }]].concat();
        let (without, with) = (resolve(&candidates, &mut |_| {}), resolve(&with, &mut |_| {}));
        if let (Some(without), Some(with)) = (without, with) {
            prop_assert_eq!(&with.participants[..without.participants.len()], &without.participants[..]);
            prop_assert_eq!(with.entries, without.entries);
        }
    }

    #[test]
    fn any_text_is_a_dockerfile_or_an_error(text in "(?s)(FROM|RUN|ARG|COPY|#|<<|E| |\n|\\\\|\t|-|\\PC){0,60}") {
        let _ = Dockerfile::parse(&text).map(|d| (d.check_build(), d.check_run()));
    }
}
