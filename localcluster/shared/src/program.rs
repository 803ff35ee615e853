//! Finding a program and checking its addresses before it is started.

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

/// How long an address may still be taken.
const MOMENT: Duration = Duration::from_secs(1);

/// Why a program cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program is not there.
    #[error(
        "{} is not there: put {name} on the PATH, or name its file by the environment variable {variable}; \
         ./run.sh tools fetches it",
        path.display()
    )]
    Missing {
        /// The program, as `Envoy`.
        name: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// Environment variable that names it.
        variable: &'static str,
    },
    /// Somebody else listens where the program is to listen.
    #[error(
        "{address}, the address of {purpose}, is taken by another process: stop that one or choose \
         another address (to see who it is: ss -ltnp 'sport = :{}')",
        address.port()
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// What the address is for.
        purpose: &'static str,
    },
    /// The address is not one this machine can listen on.
    #[error("cannot listen on {address}, the address of {purpose}: {source}")]
    Unusable {
        /// The address.
        address: SocketAddr,
        /// What the address is for.
        purpose: &'static str,
        /// What the system said.
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

/// Check that nobody listens on `address`. Somebody who is about to end (the program of a process that
/// was just killed) is given a moment.
///
/// # Errors
/// [`StartError::Taken`] or [`StartError::Unusable`].
pub async fn ensure_free(address: SocketAddr, purpose: &'static str) -> Result<(), StartError> {
    let deadline = Instant::now() + MOMENT;
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
    fn a_bare_name_is_looked_up_and_a_path_is_not() {
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
    async fn a_taken_address_is_named_with_its_purpose() {
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
