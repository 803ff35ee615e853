//! Finds a program and checks that its addresses are free.

use std::{
    env, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

/// How long to wait for an address that is in use.
const FREE_TIMEOUT: Duration = Duration::from_secs(1);

/// A program cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program does not exist.
    #[error(
        "{} not found: put {name} on the PATH, or set the environment variable {variable} to its path; \
         ./run.sh tools downloads it",
        path.display()
    )]
    Missing {
        /// Name of the program for people, such as `Envoy`.
        name: &'static str,
        /// Path or bare name that was searched for.
        path: PathBuf,
        /// Environment variable that sets the path.
        variable: &'static str,
    },
    /// Another process listens on the address.
    #[error(
        "{address}, the address of {purpose}, is in use by another process: stop that process or choose \
         another address (to find it: ss -ltnp 'sport = :{}')",
        address.port()
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// Purpose of the address.
        purpose: &'static str,
    },
    /// This machine cannot listen on the address.
    #[error("cannot listen on {address}, the address of {purpose}: {source}")]
    Unusable {
        /// The address.
        address: SocketAddr,
        /// Purpose of the address.
        purpose: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The absolute path of `program`; a bare name is looked up on the `PATH`.
///
/// # Errors
/// [`StartError::Missing`].
pub fn find(
    name: &'static str,
    variable: &'static str,
    program: &Path,
) -> Result<PathBuf, StartError> {
    let is_bare = program.components().count() == 1 && !program.starts_with(".");
    let found = if is_bare && program.parent() == Some(Path::new("")) {
        let folders = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&folders)
            .map(|folder| folder.join(program))
            .find(|path| path.is_file())
    } else {
        Some(program.to_owned()).filter(|path| path.is_file())
    };
    found
        .and_then(|path| path.canonicalize().ok())
        .ok_or_else(|| StartError::Missing {
            name,
            path: program.to_owned(),
            variable,
        })
}

/// Checks that nothing listens on `address`. Waits up to 1 s for a process that is about to end, such as the child
/// of a cluster that was just killed.
///
/// # Errors
/// [`StartError::Taken`] or [`StartError::Unusable`].
pub async fn ensure_free(address: SocketAddr, purpose: &'static str) -> Result<(), StartError> {
    let deadline = Instant::now() + FREE_TIMEOUT;
    loop {
        match TcpListener::bind(address).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if Instant::now() >= deadline {
                    return Err(StartError::Taken { address, purpose });
                }
                sleep(Duration::from_millis(20)).await;
            }
            Err(source) => {
                return Err(StartError::Unusable {
                    address,
                    purpose,
                    source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_name_is_looked_up_on_the_path() {
        assert!(find("sh", "SH", Path::new("sh")).unwrap().is_absolute());
        assert!(find("sh", "SH", Path::new("/bin/sh")).is_ok());
        let error = find("Envoy", "ENVOY", Path::new("./sh"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("./sh") && error.contains("./run.sh tools"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_error_for_an_address_in_use_names_address_and_purpose() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = ensure_free(address, "the ingress")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&address.to_string()) && error.contains("the ingress"),
            "{error}"
        );
        drop(listener);
        ensure_free(address, "the ingress").await.unwrap();
    }
}
