//! Making images from files.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Entry, Error, Image, ImageStore, Reference, io_error, is_plain_absolute};

/// What an image is to hold.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// Name and tag, e.g. `simple-app:1.0.1`.
    pub name: String,
    /// (file on this machine, absolute path in the image); at least one.
    pub files: Vec<(PathBuf, String)>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Program and leading arguments; empty means the first file.
    pub entrypoint: Vec<String>,
    /// Arguments that a container's `args` replace.
    pub cmd: Vec<String>,
}

impl ImageStore {
    /// Build an image, replacing one of the same name.
    ///
    /// # Errors
    /// [`Error::InvalidReference`], [`Error::InvalidBuild`] (no files, a path that is not absolute,
    /// an entry point that is not among the files) or [`Error::Io`].
    pub fn build(&self, request: &BuildRequest) -> Result<Image, Error> {
        let reference: Reference = request.name.parse()?;
        let invalid = |why| Error::InvalidBuild {
            name: reference.short(),
            why,
        };
        let Some((_, first)) = request.files.first() else {
            return Err(invalid("it needs at least one file".into()));
        };
        if let Some((_, path)) = request
            .files
            .iter()
            .find(|(_, path)| !is_plain_absolute(path))
        {
            return Err(invalid(format!(
                "{path:?} is not an absolute path without '..'"
            )));
        }
        // Removal waits until this image is complete, so it cannot take a blob just written.
        let _shared = self.lock(File::lock_shared)?;
        let mut files = BTreeMap::new();
        for (source, path) in &request.files {
            files.insert(path.clone(), self.store_blob(source)?);
        }
        let entrypoint = match request.entrypoint.as_slice() {
            [] => vec![first.clone()],
            given => given.to_vec(),
        };
        let mut image = Image {
            name: reference.to_string(),
            digest: String::new(),
            created: jiff::Timestamp::now(),
            entrypoint,
            cmd: request.cmd.clone(),
            env: request.env.clone(),
            files,
        };
        let program = &image.entrypoint[0];
        if image
            .find_program(program, crate::spec::DEFAULT_PATH)
            .is_none()
        {
            return Err(invalid(format!(
                "its entry point {program:?} is none of its files"
            )));
        }
        image.digest = digest(&image);
        self.store_manifest(&reference, &image)?;
        Ok(image)
    }

    /// Copy a file into the store under its own hash. A copy and not a hard link: a compiler may
    /// write its next result into the same inode.
    fn store_blob(&self, source: &Path) -> Result<Entry, Error> {
        let mut input = File::open(source).map_err(io_error("read", source))?;
        let temporary = self.temporary();
        let result = copy_and_hash(&mut input, &temporary).map_err(io_error("copy", source));
        let stored = result.and_then(|entry| {
            let blob = self.blobs().join(&entry.blob);
            fs::rename(&temporary, &blob).map_err(io_error("write", &blob))?;
            Ok(entry)
        });
        if stored.is_err() {
            // The error at hand matters more than a file left in tmp.
            let _ = fs::remove_file(&temporary);
        }
        stored
    }

    fn store_manifest(&self, reference: &Reference, image: &Image) -> Result<(), Error> {
        let (path, temporary) = (self.manifest(reference), self.temporary());
        let write = || -> io::Result<()> {
            let mut file = File::create_new(&temporary)?;
            serde_json::to_writer_pretty(&mut file, image)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(io_error("write", &path))
    }

    fn temporary(&self) -> PathBuf {
        self.tmp()
            .join(format!("{}-{:016x}", std::process::id(), fastrand::u64(..)))
    }
}

fn copy_and_hash(input: &mut File, target: &Path) -> io::Result<Entry> {
    let mut output = File::create_new(target)?;
    let mut hasher = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        output.write_all(&buffer[..read])?;
        size += read as u64;
    }
    // Programs and data alike: whoever made the image may run any file it names, nobody writes.
    output.set_permissions(Permissions::from_mode(0o555))?;
    output.sync_all()?;
    Ok(Entry {
        blob: hex(&hasher.finalize()),
        size,
    })
}

fn digest(image: &Image) -> String {
    let content = serde_json::json!({
        "entrypoint": image.entrypoint, "cmd": image.cmd, "env": image.env, "files": image.files,
    });
    format!("sha256:{}", hex(&Sha256::digest(content.to_string())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
