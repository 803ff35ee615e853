//! Circles in what needs what.

use std::{
    collections::{BTreeSet, VecDeque},
    path::PathBuf,
};

use crate::modules::Needs;

/// Each circle as text: a line for every need inside it.
pub(crate) fn find(needs: &Needs) -> Vec<String> {
    let mut left: BTreeSet<&PathBuf> = needs.keys().collect();
    let mut circles = Vec::new();
    while let Some(file) = left.pop_first() {
        let after = reachable(needs, file);
        let circle: BTreeSet<&PathBuf> = after
            .iter()
            .copied()
            .filter(|other| reachable(needs, other).contains(file))
            .collect();
        if circle.is_empty() {
            continue;
        }
        left.retain(|file| !circle.contains(file));
        circles.push(describe(needs, &circle));
    }
    circles
}

/// Everything that `file` needs, directly or over others.
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

fn describe(needs: &Needs, circle: &BTreeSet<&PathBuf>) -> String {
    let mut text = format!("{} files:\n", circle.len());
    for file in circle {
        for (other, names) in needs.get(*file).into_iter().flatten() {
            if circle.contains(other) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (file, other) = (file.display(), other.display());
                text.push_str(&format!("  {file} needs {other}: {}\n", names.join(", ")));
            }
        }
    }
    text
}
