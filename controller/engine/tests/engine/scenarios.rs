//! Runs every `scenarios/*.txt` and compares it with its golden transcript.

use std::{collections::BTreeSet, fs, path::PathBuf};

use canary_engine::phase::TRANSITIONS;

use crate::script;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/engine/scenarios")
}

/// Names and texts of all scenarios.
fn scenarios() -> Vec<(String, String)> {
    let entries = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let scripts =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut named: Vec<_> = scripts
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    named.sort();
    assert!(!named.is_empty(), "no scenario in {}", folder().display());
    named
}

#[test]
fn every_scenario_matches_its_golden_transcript() {
    for (name, script) in scenarios() {
        let transcript = script::transcript(&script::run(&script));
        insta::with_settings!({
            snapshot_path => folder(),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(name, transcript);
        });
    }
}

/// The table has no change that never happens. (Every plan is checked against the table elsewhere.)
#[test]
fn every_legal_change_of_phase_happens_in_a_scenario() {
    let changes = scenarios()
        .into_iter()
        .flat_map(|(_, script)| script::run(&script).world.changes);
    let happened: BTreeSet<_> = changes.collect();
    let legal: BTreeSet<_> = TRANSITIONS.into_iter().collect();
    let missing: Vec<_> = legal.difference(&happened).collect();
    assert!(missing.is_empty(), "not in any scenario: {missing:?}");
}
