//! Builds images from files.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Entry, Error, Image, ImageStore, Reference, io_error, is_plain_absolute};

/// Name and content of an image to build.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// Name and tag, e.g. `simple-app:1.0.1`.
    pub name: String,
    /// Pairs of a file on the host and its absolute path in the image. At least one is required.
    pub files: Vec<(PathBuf, String)>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Program and leading arguments. Defaults to the first file.
    pub entrypoint: Vec<String>,
    /// Default arguments, which a container's `args` replace.
    pub cmd: Vec<String>,
}

impl ImageStore {
    /// Builds an image, replacing an existing one of the same name.
    ///
    /// # Errors
    /// [`Error::InvalidReference`], [`Error::InvalidBuild`] (no files, a relative path, an entry
    /// point that is not among the files) or [`Error::Io`].
    pub fn build(&self, request: &BuildRequest) -> Result<Image, Error> {
        let reference: Reference = request.name.parse()?;
        let invalid = |why| Error::InvalidBuild {
            name: reference.short(),
            why,
        };
        let Some((_, first)) = request.files.first() else {
            return Err(invalid("at least one file is required".into()));
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
        // A removal must not delete blobs of an image whose manifest is not written yet.
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
                "the entry point {program:?} is not among its files"
            )));
        }
        image.digest = digest(&image);
        self.store_manifest(&reference, &image)?;
        Ok(image)
    }

    /// Copies a file into the store under its hash. It is not hard-linked, because a compiler may
    /// overwrite its output in place.
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
            // The original error matters more than a leftover file in tmp.
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
    // Executable and read-only, for programs and data alike.
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
