//! Cycles among the dependencies of files.

use std::{
    collections::{BTreeSet, VecDeque},
    path::PathBuf,
};

use crate::modules::Needs;

/// Describes each cycle, with one line per dependency in it.
pub(crate) fn find(needs: &Needs) -> Vec<String> {
    let mut left: BTreeSet<&PathBuf> = needs.keys().collect();
    let mut cycles = Vec::new();
    while let Some(file) = left.pop_first() {
        let after = reachable(needs, file);
        let cycle: BTreeSet<&PathBuf> = after
            .iter()
            .copied()
            .filter(|other| reachable(needs, other).contains(file))
            .collect();
        if cycle.is_empty() {
            continue;
        }
        left.retain(|file| !cycle.contains(file));
        cycles.push(describe(needs, &cycle));
    }
    cycles
}

/// All direct and transitive dependencies of `file`.
fn reachable<'a>(needs: &'a Needs, file: &PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut found = BTreeSet::new();
    let mut queue = VecDeque::from([file]);
    while let Some(file) = queue.pop_front() {
        for other in needs.get(file).into_iter().flat_map(|others| others.keys()) {
            if found.insert(other) {
                queue.push_back(other);
            }
        }
    }
    found
}

fn describe(needs: &Needs, cycle: &BTreeSet<&PathBuf>) -> String {
    let mut text = format!("{} files:\n", cycle.len());
    for file in cycle {
        for (other, names) in needs.get(*file).into_iter().flatten() {
            if cycle.contains(other) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (file, other) = (file.display(), other.display());
                text.push_str(&format!("  {file} needs {other}: {}\n", names.join(", ")));
            }
        }
    }
    text
}
