//! The local image store: which programs a container image stands for.
//!
//! An image is a manifest (entry point, environment, files) under a name, its files are blobs named
//! by their SHA-256. There are no layers and no registry: an image is built from files on this
//! machine, and the kubelet runs nothing that no image names.
//!
//! # Layout
//! `manifests/<name>.json` one file per tag · `blobs/sha256/<hex>` file contents · `tmp/` files
//! being written · `lock` held shared by builds, exclusively by removal.
//!
//! # Guarantees
//! Every file appears by rename, complete and flushed; a build that dies leaves only files in
//! `tmp/`. Builds of the same name at the same time are safe: the last one wins.

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

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no image name.
    #[error("invalid image name {text:?}: {why}")]
    InvalidReference {
        /// What was written.
        text: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// No image of that name.
    #[error(
        "image {name} is not in the image store; build it with `localcluster image build -t {name} --from PROGRAM`"
    )]
    NotFound {
        /// The short name.
        name: String,
    },
    /// A build request that makes no image.
    #[error("cannot build image {name}: {why}")]
    InvalidBuild {
        /// The short name.
        name: String,
        /// What to change.
        why: String,
    },
    /// A manifest that cannot be read as one.
    #[error("the manifest {} is damaged ({source}); build the image again", path.display())]
    Damaged {
        /// The manifest file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
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

/// An image as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Long name, e.g. `docker.io/library/simple-app:1.0.1`.
    pub name: String,
    /// `sha256:<hex>` over everything but name and creation time: equal content, equal digest.
    pub digest: String,
    /// When it was built.
    pub created: jiff::Timestamp,
    /// Program and leading arguments; a container's `command` replaces both these and `cmd`.
    pub entrypoint: Vec<String>,
    /// Arguments that a container's `args` replace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// In-image path → content.
    pub files: BTreeMap<String, Entry>,
}

impl Image {
    /// The in-image path that `program` means: itself when it is absolute, else the first match on
    /// `path` (colon-separated). `None` when the image has no such file.
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

    /// Bytes of all files together.
    pub fn size(&self) -> u64 {
        self.files.values().map(|entry| entry.size).sum()
    }
}

/// A folder of images. Cheap to clone; all methods block on the file system.
#[derive(Debug, Clone)]
pub struct ImageStore {
    root: PathBuf,
}

impl ImageStore {
    /// Open the store in `root`, making its folders when they are missing.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let store = Self { root: root.into() };
        for folder in [store.manifests(), store.blobs(), store.tmp()] {
            fs::create_dir_all(&folder).map_err(io_error("make folder", &folder))?;
        }
        Ok(store)
    }

    /// Find the image `name` means.
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

    /// All images by name.
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
                // Removed since the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("read", &path)(error)),
            }
        }
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// Remove an image and the contents no other image has. Containers that run it go on running.
    ///
    /// # Errors
    /// As [`Self::resolve`].
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

    /// Lay the files of `image` out below `root`, which is emptied first. Files are hard links to
    /// the store where that is possible (same file system), else copies.
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
        fs::create_dir_all(root).map_err(io_error("make folder", root))?;
        for (path, entry) in &image.files {
            let target = root.join(path.trim_start_matches('/'));
            let blob = self.blobs().join(&entry.blob);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(io_error("make folder", folder))?;
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

/// Whether `path` is absolute and has no `.` or `..` steps, so that it stays below a root.
fn is_plain_absolute(path: &str) -> bool {
    let mut steps = Path::new(path).components();
    steps.next() == Some(Component::RootDir)
        && steps.clone().next().is_some()
        && steps.all(|step| matches!(step, Component::Normal(_)))
}

#[cfg(test)]
mod tests;
