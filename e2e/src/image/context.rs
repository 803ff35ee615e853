//! The build context: what `.dockerignore` lets through.

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

/// One line of the file: the last one that matches a path, or a folder above it, decides.
#[derive(Debug)]
struct Rule {
    pattern: Regex,
    text: String,
    takes_back: bool,
}

impl Context {
    /// The context of a folder.
    ///
    /// # Panics
    /// When it has no readable `.dockerignore`.
    pub fn of(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join(".dockerignore")).expect(".dockerignore");
        Self {
            folder: folder.to_owned(),
            rules: rules(&text),
        }
    }

    /// Whether a builder gets to see this path, which is relative to the folder.
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

    /// All files that a builder gets to see, relative to the folder.
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
    /// When the file system refuses.
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
    fn the_last_rule_that_matches_decides() {
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
