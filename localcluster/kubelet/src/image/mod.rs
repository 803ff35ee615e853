//! The local image store, which maps container images to programs.
//!
//! An image is a named manifest (entry point, environment, files). Its files are blobs named by
//! their SHA-256. There are no layers and no registry: images are built from files on the host, and
//! the kubelet runs only programs that an image lists.
//!
//! # Layout
//! - `manifests/<name>.json`: one file per tag.
//! - `blobs/sha256/<hex>`: file contents.
//! - `tmp/`: files being written.
//! - `lock`: held shared by builds, exclusively by removals.
//!
//! # Guarantees
//! Files are flushed and then renamed into place, so an interrupted build leaves files only in
//! `tmp/`. Concurrent builds of the same name are safe: the last one wins.

mod build;
mod reference;

pub use build::BuildRequest;
pub use reference::Reference;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Errors of the image store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a valid image name.
    #[error("invalid image name {text:?}: {why}")]
    InvalidReference {
        /// The rejected name.
        text: String,
        /// The rule that it violates.
        why: &'static str,
    },
    /// There is no image of that name.
    #[error(
        "image {name} is not in the image store; build it with `localcluster image build -t {name} --from PROGRAM`"
    )]
    NotFound {
        /// The short name.
        name: String,
    },
    /// The build request is invalid.
    #[error("cannot build image {name}: {why}")]
    InvalidBuild {
        /// The short name.
        name: String,
        /// The problem.
        why: String,
    },
    /// A manifest cannot be parsed.
    #[error("the manifest {} is damaged ({source}); build the image again", path.display())]
    Damaged {
        /// The manifest file.
        path: PathBuf,
        /// Error from the parser.
        source: serde_json::Error,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Error from the operating system.
        source: io::Error,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// SHA-256 of the content, lower-case hexadecimal.
    pub blob: String,
    /// Bytes.
    pub size: u64,
}

/// The manifest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Long name, e.g. `docker.io/library/simple-app:1.0.1`.
    pub name: String,
    /// `sha256:<hex>` of everything except the name and the creation time.
    pub digest: String,
    /// Time of the build.
    pub created: jiff::Timestamp,
    /// Program and leading arguments. A container's `command` replaces both this and `cmd`.
    pub entrypoint: Vec<String>,
    /// Default arguments, which a container's `args` replace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files by their path in the image.
    pub files: BTreeMap<String, Entry>,
}

impl Image {
    /// Resolves `program` to a path in the image: the name itself if it contains a slash, otherwise
    /// the first match in the colon-separated `path`. `None` if the image has no such file.
    pub fn find_program(&self, program: &str, path: &str) -> Option<String> {
        let candidates = if program.contains('/') {
            vec![program.to_owned()]
        } else {
            path.split(':')
                .map(|folder| format!("{folder}/{program}"))
                .collect()
        };
        candidates
            .into_iter()
            .find(|candidate| self.files.contains_key(candidate))
    }

    /// Total size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.files.values().map(|entry| entry.size).sum()
    }
}

/// A directory of images. Cheap to clone. All methods do blocking I/O.
#[derive(Debug, Clone)]
pub struct ImageStore {
    root: PathBuf,
}

impl ImageStore {
    /// Opens the store in `root` and creates missing folders.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if a folder cannot be created.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let store = Self { root: root.into() };
        for folder in [store.manifests(), store.blobs(), store.tmp()] {
            fs::create_dir_all(&folder).map_err(io_error("create folder", &folder))?;
        }
        Ok(store)
    }

    /// Returns the image called `name`.
    ///
    /// # Errors
    /// [`Error::InvalidReference`], [`Error::NotFound`], [`Error::Damaged`] or [`Error::Io`].
    pub fn resolve(&self, name: &str) -> Result<Image, Error> {
        let reference: Reference = name.parse()?;
        let path = self.manifest(&reference);
        match fs::read(&path) {
            Ok(text) => read_manifest(&path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotFound {
                name: reference.short(),
            }),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Lists all images, sorted by name.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`].
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        let folder = self.manifests();
        let mut images = Vec::new();
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let path = entry.map_err(io_error("list", &folder))?.path();
            match fs::read(&path) {
                Ok(text) => images.push(read_manifest(&path, &text)?),
                // Removed after the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("read", &path)(error)),
            }
        }
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// Removes an image and the blobs that no other image uses. Running containers are unaffected.
    ///
    /// # Errors
    /// See [`Self::resolve`].
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let reference: Reference = name.parse()?;
        let _alone = self.lock(File::lock)?;
        let path = self.manifest(&reference);
        fs::remove_file(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound {
                name: reference.short(),
            },
            _ => io_error("remove", &path)(error),
        })?;
        let images = self.list()?;
        let used: BTreeSet<&str> = images
            .iter()
            .flat_map(|image| image.files.values())
            .map(|entry| entry.blob.as_str())
            .collect();
        let blobs = self.blobs();
        for entry in fs::read_dir(&blobs).map_err(io_error("list", &blobs))? {
            let entry = entry.map_err(io_error("list", &blobs))?;
            if !entry
                .file_name()
                .to_str()
                .is_some_and(|name| used.contains(name))
            {
                fs::remove_file(entry.path()).map_err(io_error("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// Lays out the files of `image` below `root`, which is emptied first. Files are hard links into
    /// the store, or copies if `root` is on another file system.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn lay_out(&self, image: &Image, root: &Path) -> Result<(), Error> {
        match fs::remove_dir_all(root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("empty", root)(error));
            }
            _ => {}
        }
        fs::create_dir_all(root).map_err(io_error("create folder", root))?;
        for (path, entry) in &image.files {
            let target = root.join(path.trim_start_matches('/'));
            let blob = self.blobs().join(&entry.blob);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(io_error("create folder", folder))?;
            }
            fs::hard_link(&blob, &target)
                .or_else(|_| fs::copy(&blob, &target).map(|_| ()))
                .map_err(io_error("lay out", &target))?;
        }
        Ok(())
    }

    fn lock(&self, how: fn(&File) -> io::Result<()>) -> Result<File, Error> {
        let path = self.root.join("lock");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        how(&file).map_err(io_error("lock", &path))?;
        Ok(file)
    }

    fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    fn manifest(&self, reference: &Reference) -> PathBuf {
        self.manifests().join(reference.file_name())
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

fn read_manifest(path: &Path, text: &[u8]) -> Result<Image, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Damaged {
        path: path.to_owned(),
        source,
    })
}

/// Returns whether `path` is absolute and has no `.` or `..` components, so that it stays below a root.
fn is_plain_absolute(path: &str) -> bool {
    let mut steps = Path::new(path).components();
    steps.next() == Some(Component::RootDir)
        && steps.clone().next().is_some()
        && steps.all(|step| matches!(step, Component::Normal(_)))
}

#[cfg(test)]
mod tests;
