//! Parses the instructions used by this repository's Dockerfiles. All others are rejected, so that none is silently
//! ignored.

use std::{collections::BTreeMap, fs, path::Path};

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The stages in order.
    pub stages: Vec<Stage>,
}

/// A `FROM` and the instructions that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The name after `AS`, or the stage's index.
    pub name: String,
    /// Another stage, an image of a registry, or `scratch`.
    pub base: String,
    /// The instructions in order.
    pub instructions: Vec<Instruction>,
}

/// An instruction. Variables are not expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `ARG NAME=DEFAULT`
    Arg(String, Option<String>),
    /// `ENV NAME=VALUE …`
    Env(Vec<(String, String)>),
    /// `WORKDIR PATH`
    Workdir(String),
    /// `RUN`, one line for a shell
    Run(String),
    /// `COPY [--from=STAGE] SOURCE TARGET`
    Copy {
        /// The source stage; `None` for the build context.
        from: Option<String>,
        /// Path in the source.
        source: String,
        /// Path in this stage.
        target: String,
    },
    /// `USER UID:GID`
    User(String),
    /// `ENTRYPOINT ["PROGRAM", …]`
    Entrypoint(Vec<String>),
    /// `LABEL` or `EXPOSE`: metadata without effect on the file system.
    Note,
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Panics
    /// Panics if it cannot be read or contains an unsupported instruction.
    pub fn read(path: &Path) -> Self {
        Self::parse(&fs::read_to_string(path).expect("the Dockerfile can be read"))
    }

    fn parse(text: &str) -> Self {
        let mut stages: Vec<Stage> = Vec::new();
        for line in logical_lines(text) {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let rest = rest.trim();
            if word == "FROM" {
                let mut words = rest.split_whitespace();
                let base = words.next().unwrap_or_default().to_owned();
                let name = words.nth(1).map_or(stages.len().to_string(), str::to_owned);
                stages.push(Stage {
                    name,
                    base,
                    instructions: Vec::new(),
                });
                continue;
            }
            let stage = stages.last_mut().expect("FROM comes first");
            stage.instructions.push(instruction(word, rest));
        }
        Self { stages }
    }

    /// Returns the named stage, or the last one without a name, like `docker build` without `--target`.
    ///
    /// # Panics
    /// Panics if there is no such stage.
    pub fn stage(&self, name: Option<&str>) -> &Stage {
        let found = match name {
            Some(name) => self.stages.iter().find(|stage| stage.name == name),
            None => self.stages.last(),
        };
        found.unwrap_or_else(|| panic!("there is no stage {name:?}"))
    }
}

/// Removes comments and joins lines that end with a backslash.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let line = line.trim();
        match line.strip_suffix('\\') {
            Some(part) => {
                open.push_str(part.trim_end());
                open.push(' ');
            }
            None => {
                open.push_str(line);
                if !open.is_empty() {
                    lines.push(std::mem::take(&mut open));
                }
            }
        }
    }
    lines
}

fn instruction(word: &str, rest: &str) -> Instruction {
    match word {
        "ARG" => {
            let (name, default) = match rest.split_once('=') {
                Some((name, default)) => (name, Some(default.to_owned())),
                None => (rest, None),
            };
            Instruction::Arg(name.to_owned(), default)
        }
        "ENV" => Instruction::Env(
            rest.split_whitespace()
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ),
        "WORKDIR" => Instruction::Workdir(rest.to_owned()),
        "RUN" => Instruction::Run(rest.to_owned()),
        "COPY" => copy(rest),
        "USER" => Instruction::User(rest.to_owned()),
        "ENTRYPOINT" => {
            Instruction::Entrypoint(serde_json::from_str(rest).expect("a JSON list of words"))
        }
        "LABEL" | "EXPOSE" => Instruction::Note,
        _ => panic!("the native build does not support {word}; add it in e2e/src/image"),
    }
}

fn copy(rest: &str) -> Instruction {
    let mut from = None;
    let mut paths = Vec::new();
    for word in rest.split_whitespace() {
        match word.strip_prefix("--from=") {
            Some(stage) => from = Some(stage.to_owned()),
            None => paths.push(word.to_owned()),
        }
    }
    let [source, target] =
        <[String; 2]>::try_from(paths).expect("COPY has one source and one target");
    Instruction::Copy {
        from,
        source,
        target,
    }
}

/// Replaces `${NAME}` by the variable's value.
///
/// # Panics
/// Panics if a variable has no value.
pub(super) fn fill_in(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').expect("${ is closed");
        let value = variables.get(name);
        filled.push_str(before);
        filled.push_str(value.unwrap_or_else(|| panic!("${{{name}}} has no value")));
        rest = behind;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_instructions_and_continuation_lines_are_parsed() {
        let read = Dockerfile::parse(
            "# why\nFROM rust:1 AS build\nWORKDIR /src\nRUN a && \\\n    b\n\nFROM scratch\nARG V=dev\n\
             ENV V=${V} W=1\nCOPY --from=build /src/a /b\nUSER 1:2\nEXPOSE 80\nENTRYPOINT [\"/b\", \"x\"]\n",
        );
        let build = read.stage(Some("build"));
        assert_eq!(build.base, "rust:1");
        assert_eq!(build.instructions[1], Instruction::Run("a && b".to_owned()));
        let last = read.stage(None);
        assert_eq!((last.name.as_str(), last.base.as_str()), ("1", "scratch"));
        assert_eq!(
            last.instructions[0],
            Instruction::Arg("V".to_owned(), Some("dev".to_owned()))
        );
        assert_eq!(last.instructions.len(), 6);
    }

    #[test]
    #[should_panic(expected = "does not support ADD")]
    fn unsupported_instructions_are_rejected() {
        Dockerfile::parse("FROM scratch\nADD a b\n");
    }

    #[test]
    fn variables_are_replaced() {
        let variables = BTreeMap::from([("V".to_owned(), "1.0.1".to_owned())]);
        assert_eq!(fill_in("a-${V}-${V}", &variables), "a-1.0.1-1.0.1");
    }
}
