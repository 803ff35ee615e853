//! Executes the instructions of a Dockerfile. Each stage uses a folder as its file system.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    context::Context,
    dockerfile::{Dockerfile, Instruction, Stage, fill_in},
};
use crate::cluster::repository;

/// Source of the files for `COPY --from=`.
#[derive(Debug, Clone)]
pub enum Source {
    /// The stage, which is built with its own commands. The folder caches the stages.
    Stages(PathBuf),
    /// Existing programs from a folder, with their shared libraries. Everything else comes from the host.
    Programs(PathBuf),
}

/// Builds the images of one Dockerfile.
#[derive(Debug)]
pub struct Builder {
    dockerfile: Dockerfile,
    source: Source,
    arguments: BTreeMap<String, String>,
    built: RefCell<BTreeSet<String>>,
}

/// A final stage.
#[derive(Debug, Default)]
pub struct Image {
    /// The folder that contains its file system.
    pub root: PathBuf,
    /// `UID:GID`.
    pub user: String,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Program and leading arguments.
    pub entrypoint: Vec<String>,
    /// The copied files: path in the image and size in bytes.
    pub contents: Vec<(String, u64)>,
    workdir: String,
    variables: BTreeMap<String, String>,
}

impl Builder {
    /// Equivalent of `docker build -f NAME --build-arg …`.
    pub fn new(name: &str, source: Source, arguments: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            dockerfile: Dockerfile::read(&repository().join(name)),
            source,
            arguments: arguments.iter().map(owned).collect(),
            built: RefCell::default(),
        }
    }

    /// Builds a stage, by default the last one, into the empty folder `root`.
    ///
    /// # Panics
    /// Panics if a command fails.
    pub fn build(&self, stage: Option<&str>, root: &Path) -> Image {
        let mut image = Image {
            root: root.to_owned(),
            ..Image::default()
        };
        self.follow(self.dockerfile.stage(stage), &mut image);
        image
    }

    fn follow(&self, stage: &Stage, image: &mut Image) {
        if self
            .dockerfile
            .stages
            .iter()
            .any(|other| other.name == stage.base)
        {
            self.follow(self.dockerfile.stage(Some(&stage.base)), image);
        }
        for instruction in &stage.instructions {
            self.perform(instruction, image);
        }
    }

    fn perform(&self, instruction: &Instruction, image: &mut Image) {
        let fill = |text: &str, image: &Image| fill_in(text, &image.variables);
        match instruction {
            Instruction::Arg(name, default) => {
                let given = self.arguments.get(name).or(default.as_ref()).cloned();
                image
                    .variables
                    .insert(name.clone(), given.unwrap_or_default());
            }
            Instruction::Env(pairs) => {
                for (name, value) in pairs {
                    let value = fill(value, image);
                    image.variables.insert(name.clone(), value.clone());
                    image.environment.insert(name.clone(), value);
                }
            }
            Instruction::Workdir(path) => path.clone_into(&mut image.workdir),
            Instruction::Run(line) => run(line, image),
            Instruction::Copy {
                from: None, source, ..
            } => {
                assert_eq!(source, ".", "only the whole context is copied");
                let target = inside(&image.root, &image.workdir);
                Context::of(repository()).copy_to(&target);
            }
            Instruction::Copy {
                from: Some(stage),
                source,
                target,
            } => {
                let file = self.take(stage, source, image);
                let target = if target.starts_with('/') {
                    target.clone()
                } else {
                    format!("{}/{target}", image.workdir)
                };
                let size = install(&file, &inside(&image.root, &target));
                image.contents.push((target, size));
            }
            Instruction::User(user) => image.user = fill(user, image),
            Instruction::Entrypoint(words) => image.entrypoint.clone_from(words),
            Instruction::Note => {}
        }
    }

    /// Returns the path of a file of another stage. A file that no command of the stage creates is part of its base
    /// image, e.g. the certificates; the host's own file replaces it.
    fn take(&self, stage: &str, path: &str, image: &mut Image) -> PathBuf {
        let name = Path::new(path).file_name().expect("a file");
        let file = match &self.source {
            Source::Stages(folder) => {
                let root = folder.join(stage);
                if self.built.borrow_mut().insert(stage.to_owned()) {
                    clear(&root);
                    self.build(Some(stage), &root);
                }
                inside(&root, path)
            }
            Source::Programs(folder) => folder.join(name),
        };
        if file.exists() {
            if let Source::Programs(_) = self.source {
                bring_libraries(&file, image);
            }
            return file;
        }
        assert!(
            Path::new(path).exists(),
            "stage {stage} does not create {path}"
        );
        PathBuf::from(path)
    }
}

impl Image {
    /// Total size in bytes.
    pub fn size(&self) -> u64 {
        self.contents.iter().map(|(_, size)| size).sum()
    }
}

/// Removes the files of an earlier build from a stage, except cargo's target folder, which is cached like a layer.
fn clear(root: &Path) {
    for path in entries(root).iter().flat_map(|folder| entries(folder)) {
        if path.is_file() {
            fs::remove_file(path).expect("removed");
        } else if !path.ends_with("target") {
            fs::remove_dir_all(path).expect("removed");
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Maps an absolute path of the image to a path on the host.
fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn install(from: &Path, to: &Path) -> u64 {
    fs::create_dir_all(to.parent().expect("a folder")).expect("a new folder");
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()))
}

/// Executes `RUN` in the stage's folder. Differences from a container: `apk` prints its arguments instead of installing
/// packages, `cargo install` writes to a folder beside the stages, and cargo's target is set explicitly to the default
/// one of Alpine, which produces static programs.
fn run(line: &str, image: &Image) {
    let workdir = inside(&image.root, &image.workdir);
    // Shared by the stages, as `FROM stage` would copy the tools.
    let tools = image.root.with_file_name("tools/bin");
    fs::create_dir_all(&workdir).expect("a new folder");
    fs::create_dir_all(&tools).expect("a new folder");
    let apk = tools.join("apk");
    fs::write(&apk, "#!/bin/sh\necho \"provided by the host: $*\"\n").expect("a stand-in");
    let mut set = Command::new("chmod");
    set.arg("755").arg(&apk);
    assert!(set.status().expect("chmod").success());
    println!("RUN {line}");
    let mut command = Command::new("sh");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools).chain(std::env::split_paths(&path));
    command
        .args(["-e", "-c", line])
        .current_dir(&workdir)
        .env("PATH", std::env::join_paths(folders).expect("a PATH"))
        .env("CARGO_INSTALL_ROOT", image.root.with_file_name("tools"))
        .env("CARGO_BUILD_TARGET", TARGET)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    for variable in std::env::vars().map(|(name, _)| name) {
        // Variables that cargo sets for the running test must not reach the cargo started here.
        if variable.starts_with("CARGO_PKG_") || variable == "CARGO_MANIFEST_DIR" {
            command.env_remove(variable);
        }
    }
    assert!(command.status().expect("sh starts").success(), "RUN {line}");
    // With an explicit target, cargo adds its name to the path of the output.
    let target = workdir.join("target");
    for profile in entries(&target.join(TARGET)) {
        for file in entries(&profile).into_iter().filter(|file| file.is_file()) {
            let names = (profile.file_name(), file.file_name());
            let (profile, name) = (names.0.expect("a name"), names.1.expect("a name"));
            install(&file, &target.join(profile).join(name));
        }
    }
}

/// Default target of Rust on Alpine, for the host's architecture.
const TARGET: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-musl"
} else {
    "x86_64-unknown-linux-musl"
};

/// Copies the shared libraries of a program into the image.
fn bring_libraries(program: &Path, image: &mut Image) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let paths = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for path in paths {
        install(Path::new(path), &inside(&image.root, path));
    }
}
