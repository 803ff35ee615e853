//! The build context, filtered by `.dockerignore`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// A folder and the rules of its `.dockerignore`.
#[derive(Debug)]
pub struct Context {
    folder: PathBuf,
    rules: Vec<Rule>,
}

/// One line of the file. The last rule that matches a path or one of its parent folders decides.
#[derive(Debug)]
struct Rule {
    pattern: Regex,
    text: String,
    takes_back: bool,
}

impl Context {
    /// Creates the context of a folder.
    ///
    /// # Panics
    /// Panics if its `.dockerignore` cannot be read.
    pub fn of(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join(".dockerignore")).expect(".dockerignore");
        Self {
            folder: folder.to_owned(),
            rules: rules(&text),
        }
    }

    /// Returns whether the context includes this path, which is relative to the folder.
    pub fn holds(&self, path: &str) -> bool {
        let mut ignored = false;
        for rule in &self.rules {
            let prefixes = path.match_indices('/').map(|(end, _)| &path[..end]);
            if prefixes
                .chain([path])
                .any(|part| rule.pattern.is_match(part))
            {
                ignored = !rule.takes_back;
            }
        }
        !ignored
    }

    /// Lists all files of the context, relative to the folder.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        self.walk("", &mut found);
        found.sort();
        found
    }

    fn walk(&self, below: &str, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(self.folder.join(below)).into_iter().flatten();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && (self.holds(&path) || self.takes_back_something_in(&path)) {
                self.walk(&path, found);
            } else if !is_folder && self.holds(&path) {
                found.push(PathBuf::from(path));
            }
        }
    }

    fn takes_back_something_in(&self, folder: &str) -> bool {
        let inside = format!("{folder}/");
        let mut back = self.rules.iter().filter(|rule| rule.takes_back);
        back.any(|rule| rule.text.starts_with(&inside))
    }

    /// Copies the files to another folder.
    ///
    /// # Panics
    /// Panics on I/O errors.
    pub fn copy_to(&self, target: &Path) {
        for file in self.files() {
            let to = target.join(&file);
            fs::create_dir_all(to.parent().expect("a folder")).expect("a new folder");
            fs::copy(self.folder.join(&file), to).expect("a copy");
        }
    }
}

fn rules(text: &str) -> Vec<Rule> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (text, takes_back) = match line.strip_prefix('!') {
                Some(rest) => (rest, true),
                None => (line, false),
            };
            let text = text.trim_matches('/').to_owned();
            let pattern = regex::escape(&text)
                .replace(r"\*\*/", "(.*/)?")
                .replace(r"\*", "[^/]*")
                .replace(r"\?", "[^/]");
            Rule {
                pattern: Regex::new(&format!("^{pattern}$")).expect("a pattern"),
                text,
                takes_back,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_matching_rule_decides() {
        let context = Context {
            folder: PathBuf::new(),
            rules: rules("# why\n*\n!Cargo.toml\n!app\n**/target\n"),
        };
        for (path, held) in [
            ("Cargo.toml", true),
            ("README.md", false),
            ("app/src/main.rs", true),
            ("app/target/debug/app", false),
            ("target", false),
            (".git/config", false),
        ] {
            assert_eq!(context.holds(path), held, "{path}");
        }
    }
}
