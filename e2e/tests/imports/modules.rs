//! The modules of a crate and the dependencies between their files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::Item;

use crate::names::{Import, Names};

/// The dependencies of each file, with the names it uses from them.
pub(crate) type Needs = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// The path of a module, e.g. `["api", "canary"]`. The root is empty.
type ModulePath = Vec<String>;

/// All modules of one crate except its tests.
#[derive(Default)]
pub(crate) struct Modules(BTreeMap<ModulePath, Module>);

struct Module {
    file: PathBuf,
    names: Names,
}

impl Modules {
    /// Reads the crate with the root file `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        let folder = root.parent().expect("a file in a folder");
        modules.read_file(root, folder, Vec::new());
        modules
    }

    /// Reads one file. `folder` contains the files of its child modules.
    fn read_file(&mut self, file: &Path, folder: &Path, path: ModulePath) {
        let text = fs::read_to_string(file).expect("the file of a module");
        let parsed = syn::parse_file(&text).expect("Rust");
        self.read_items(file, folder, path, &parsed.items);
    }

    fn read_items(&mut self, file: &Path, folder: &Path, path: ModulePath, items: &[Item]) {
        for item in items {
            let Item::Mod(module) = item else { continue };
            if is_test(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let child: ModulePath = path.iter().cloned().chain([name.clone()]).collect();
            let inner = folder.join(&name);
            if let Some((_, items)) = &module.content {
                self.read_items(file, &inner, child, items);
                continue;
            }
            let nested = inner.join("mod.rs");
            let beside = inner.with_extension("rs");
            let file = if nested.exists() { nested } else { beside };
            self.read_file(&file, &inner, child);
        }
        let module = Module {
            file: file.to_owned(),
            names: Names::of(items),
        };
        self.0.insert(path, module);
    }

    /// Returns the dependencies between the files.
    pub(crate) fn needs(&self) -> Needs {
        let mut needs = Needs::new();
        for (path, module) in &self.0 {
            let imports = module.names.imports.iter();
            let private = imports
                .filter(|import| !import.public)
                .map(|import| &import.path);
            for used in private.chain(&module.names.used) {
                let Some((file, name)) = self.definition(path, used, 8) else {
                    continue;
                };
                if *file != module.file && !is_above(file, &module.file) {
                    let from = needs.entry(module.file.clone()).or_default();
                    from.entry(file.clone()).or_default().insert(name);
                }
            }
        }
        needs
    }

    /// Resolves the path `used` in the module `at` to the defining file and the name in it.
    fn definition(
        &self,
        at: &ModulePath,
        used: &[String],
        depth: usize,
    ) -> Option<(&PathBuf, String)> {
        let depth = depth.checked_sub(1)?;
        let (first, mut rest) = used.split_first()?;
        let mut current = match first.as_str() {
            "crate" => Vec::new(),
            "self" => at.clone(),
            "super" => at[..at.len().checked_sub(1)?].to_vec(),
            _ => {
                rest = used;
                at.clone()
            }
        };
        let absolute = rest.len() < used.len();
        loop {
            let (name, left) = rest.split_first()?;
            if name == "super" {
                current.pop()?;
                rest = left;
                continue;
            }
            let mut child = current.clone();
            child.push(name.clone());
            if self.0.contains_key(&child) {
                current = child;
                rest = left;
                continue;
            }
            let module = self.0.get(&current)?;
            if let Some(import) = module
                .names
                .import(name)
                .filter(|import| import.path != used)
            {
                let path: Vec<String> = import.path.iter().chain(left).cloned().collect();
                return self.definition(&current, &path, depth);
            }
            let defined = module.names.defined.contains(name);
            if !defined && let Some(found) = self.by_glob(&current, module, rest, depth) {
                return Some(found);
            }
            // An unknown first segment is another crate or part of the language.
            let known = defined || absolute || current != *at;
            return known.then(|| (&module.file, name.clone()));
        }
    }

    fn by_glob(
        &self,
        at: &ModulePath,
        module: &Module,
        rest: &[String],
        depth: usize,
    ) -> Option<(&PathBuf, String)> {
        module.names.globs.iter().find_map(|Import { path, .. }| {
            let path: Vec<String> = path.iter().chain(rest).cloned().collect();
            let (file, name) = self.definition(at, &path, depth)?;
            let defines =
                |module: &Module| module.file == *file && module.names.defined.contains(&name);
            self.0.values().any(defines).then_some((file, name))
        })
    }
}

/// Returns whether `file` is the `mod.rs` (`lib.rs`, `main.rs`) of a folder that contains `other`. Both then belong to
/// one module.
fn is_above(file: &Path, other: &Path) -> bool {
    let opens_folder = file
        .file_name()
        .is_some_and(|name| name == "mod.rs" || name == "lib.rs" || name == "main.rs");
    opens_folder
        && file
            .parent()
            .is_some_and(|folder| other.starts_with(folder))
}

/// Returns whether an item is compiled only for tests.
pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        let text = || {
            attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|name| name == "test")
        };
        is_cfg && text()
    })
}
