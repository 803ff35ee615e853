//! The modules of every crate have no import cycles.
//!
//! A file depends on another if it uses a name that the other defines. Exceptions are re-exports and names from the
//! `mod.rs` of the file's own folder, which belongs to the same module.

mod cycles;
mod modules;
mod names;

use std::{
    fs,
    path::{Path, PathBuf},
};

use modules::Modules;

#[test]
fn crates_have_no_import_cycles() {
    let mut found = String::new();
    for root in crate_roots() {
        let needs = Modules::read(&root).needs();
        for cycle in cycles::find(&needs) {
            found.push_str(&cycle);
        }
    }
    assert!(found.is_empty(), "import cycles:\n{found}");
}

#[test]
fn a_cycle_of_three_files_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("lib.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B(super::c::C);"),
        (
            "c.rs",
            "use crate::A; pub struct C; fn of(_: A) {} #[cfg(test)] mod tests { use crate::b; }",
        ),
    ];
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let needs = Modules::read(&dir.path().join("lib.rs")).needs();
    let cycles = cycles::find(&needs);
    assert_eq!(cycles.len(), 1);
    for line in ["a.rs needs", "b.rs needs", "c.rs needs"] {
        assert!(cycles[0].contains(line), "{}", cycles[0]);
    }
}

/// The root file of every library, program and example of the workspace.
fn crate_roots() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace");
    let text = fs::read_to_string(workspace.join("Cargo.toml")).expect("Cargo.toml");
    let members = text
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .expect("members")
        .0;
    let mut roots = Vec::new();
    for member in members.split('"').skip(1).step_by(2) {
        let folder = workspace.join(member);
        roots.push(folder.join("src/lib.rs"));
        roots.push(folder.join("src/main.rs"));
        for example in fs::read_dir(folder.join("examples")).into_iter().flatten() {
            roots.push(example.expect("an example").path().join("main.rs"));
        }
    }
    roots.retain(|root| root.exists());
    assert!(
        roots.len() > 10,
        "the members of the workspace are read: {roots:?}"
    );
    roots
}
