//! The code of this repository handles `kube::Error` only through [`api_failure::ApiFailure`].

#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Directories of the crates to check.
const MEMBERS: [&str; 4] = ["controller", "localcluster", "loadtester", "simple-app"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            // Tests are exempt.
            if !["tests", "examples", "benches"].contains(&&*name) {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The text of a file up to its test module.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The items that `use kube::{…}` imports from the root of the crate, not from its modules.
fn imported_from_kube(code: &str) -> Vec<String> {
    let mut items = Vec::new();
    for (at, mark) in code.match_indices("use kube::{") {
        let mut depth = 1;
        let mut item = String::new();
        for letter in code[at + mark.len()..].chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && letter == ',') {
                items.push(item.trim().to_owned());
                item.clear();
            } else {
                item.push(letter);
            }
            if depth == 0 {
                break;
            }
        }
    }
    items
}

/// Files that send requests to the API server and also print unrelated errors under the name `error`.
const PRINT_OTHER_ERRORS: [&str; 5] = [
    "localcluster/controllers/src/driver.rs",
    "localcluster/kubelet/src/pod/mod.rs",
    "localcluster/kubelet/src/pod/prepare.rs",
    "localcluster/monitoring/src/driver.rs",
    "localcluster/shared/src/reflect.rs",
];

/// Returns whether a file that sends requests prints an `error`. An `ApiFailure` must be named `failure`.
fn prints_an_error(code: &str) -> bool {
    let sends = ["Api::", "Api<", "watcher("]
        .iter()
        .any(|part| code.contains(part));
    let print = ["%error", "{error", "error.to_string()", "{err}", "%err,"];
    code.contains("kube::") && sends && print.iter().any(|part| code.contains(part))
}

/// The violations in the code of one file.
fn faults(code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut named: Vec<String> = ["kube::Error", "kube::Result", "kube::error::"]
        .into_iter()
        .filter(|name| code.contains(name))
        .map(str::to_owned)
        .collect();
    let imported = imported_from_kube(code).into_iter();
    named.extend(imported.filter(|item| {
        let name = item.split(' ').next().unwrap_or_default();
        ["Error", "Result", "error"].contains(&name)
    }));
    faults.extend(named.iter().map(|name| format!("names {name}")));
    for call in [".get_opt(", ".get_metadata_opt("] {
        if code.contains(call) {
            faults.push(format!(
                "calls {call}), which treats a 404 in plain text as a missing object; use if_present"
            ));
        }
    }
    for name in ["error", "err", "failure", "source", "status", "why"] {
        for dump in [
            format!("{{{name}:?}}"),
            format!("{{{name}:#?}}"),
            format!("?{name}"),
        ] {
            if code.contains(&dump) {
                faults.push(format!("prints {dump}"));
            }
        }
    }
    faults
}

#[test]
fn no_source_formats_an_error_of_kube_or_prints_a_dump_of_a_response() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for member in MEMBERS {
        sources(&root.join(member), &mut files);
    }
    assert!(files.len() > 200, "{files:#?}");
    let mut all = Vec::new();
    for file in &files {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        let code = code(file);
        all.extend(faults(&code).iter().map(|fault| format!("{name} {fault}")));
        if prints_an_error(&code) && !PRINT_OTHER_ERRORS.contains(&name.as_str()) {
            all.push(format!(
                "{name} prints `error`: convert it to an ApiFailure and name it `failure`"
            ));
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn violations_are_found() {
    for bad in [
        "#[error(\"read: {source}\")]\nRead { source: kube::Error }",
        "use kube::{\n    Api, Error,\n    api::{Patch, PostParams},\n};",
        "async fn put() -> kube::Result<()> {",
        "let found = api.get_opt(name).await;",
        "tracing::warn!(?error, \"x\")",
        "format!(\"{error:?}\")",
    ] {
        assert!(!faults(bad).is_empty(), "{bad}");
    }
    assert!(prints_an_error(
        "kube::runtime::watcher(api, config).map_err(|error| warn!(%error))"
    ));
    let good = "use kube::{\n    Api,\n    runtime::controller::{Action, Error as Other},\n};\nformat!(\"{failure}\")";
    assert_eq!(faults(good), [""; 0]);
    assert!(!prints_an_error("kube::Api::all(client); warn!(%failure)"));
}
