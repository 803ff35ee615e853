//! Every `scenarios/*.txt` is run and compared with its golden transcript.

use std::{fs, path::Path};

use crate::script;

#[test]
fn every_scenario_gives_its_golden_transcript() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/scenarios");
    let mut scripts: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scenario in {}", folder.display());
    for path in scripts {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let script = fs::read_to_string(&path).unwrap();
        let transcript = script::run(&script);
        insta::with_settings!({
            snapshot_path => &folder,
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(name, transcript);
        });
    }
}
