//! Starts an image's entry point with the image as its read-only root, as the image's user, in separate mount and
//! process namespaces. It uses the host's network.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::build::Image;

/// A process that runs in an image. Dropping it kills the process.
#[derive(Debug)]
pub struct Container {
    child: Child,
}

/// Script that remounts the root read-only and starts the entry point in it. It exits with 97 if the root is still
/// writable.
const SCRIPT: &str = r#"
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
if (: >"$root/written") 2>/dev/null; then exit 97; fi
if [ "$(id -u)" != 0 ]; then exec chroot "$root" "$@"; fi
exec chroot --userspec="$user" "$root" "$@"
"#;

/// Returns whether the host lets the user create namespaces, which running an image requires.
pub fn namespaces_are_allowed() -> bool {
    let mut command = unshare("0:0");
    command.args(["mount", "--bind", "/tmp", "/tmp"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Prepares `unshare`. Users other than root get a user namespace that maps them to the image's user and group.
fn unshare(user: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child=KILL"]);
    if !is_root() {
        let (uid, gid) = user.split_once(':').expect("UID:GID");
        command.args(["--user", "--keep-caps"]);
        command.arg(format!("--map-user={uid}"));
        command.arg(format!("--map-group={gid}"));
    }
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout == b"0\n"
}

impl Image {
    /// The loopback address of the image's processes, which they also resolve as `image.test`. It is derived from the
    /// image's folder, so that parallel runs do not conflict. The blocks of local clusters are below it.
    pub fn address(&self) -> Ipv4Addr {
        let mut hasher = DefaultHasher::new();
        self.root.hash(&mut hasher);
        let [high, low, ..] = hasher.finish().to_be_bytes();
        Ipv4Addr::new(127, 254, high, low.clamp(1, 254))
    }

    /// Prepares the entry point with further arguments. The process gets only the image's environment and
    /// `environment`.
    ///
    /// # Panics
    /// Panics if the image has no entry point or no numeric user other than root, as `runAsNonRoot` requires.
    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let (uid, _) = self.user.split_once(':').expect("USER is UID:GID");
        assert!(uid.parse::<u32>().is_ok_and(|uid| uid > 0), "USER {uid}");
        assert!(!self.entrypoint.is_empty(), "there is an ENTRYPOINT");
        mount_points(&self.root, self.address());
        let mut command = unshare(&self.user);
        command.args(["sh", "-e", "-c", SCRIPT, "sh"]);
        command.arg(&self.root).arg(&self.user);
        command.args(&self.entrypoint).args(arguments);
        command.env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(&self.environment);
        command.envs(environment.iter().copied());
        command
    }

    /// Starts the entry point. It inherits standard output and standard error.
    ///
    /// # Panics
    /// Panics like [`Image::command`], or if the process cannot be started.
    pub fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Container {
        let mut command = self.command(arguments, environment);
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare starts");
        Container { child }
    }
}

/// Creates what every container runtime provides: `/proc` and the files for name resolution.
fn mount_points(root: &Path, address: Ipv4Addr) {
    for folder in ["proc", "etc"] {
        fs::create_dir_all(root.join(folder)).expect("a mount point");
    }
    let hosts = format!("127.0.0.1 localhost\n{address} image.test\n");
    fs::write(root.join("etc/hosts"), hosts).expect("hosts");
    fs::write(root.join("etc/resolv.conf"), "nameserver 127.0.0.1\n").expect("resolv.conf");
}

impl Container {
    /// Sends SIGTERM, waits for the process to exit and returns its exit code.
    ///
    /// # Panics
    /// Panics if waiting fails.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child
            .wait()
            .expect("the process can be waited for")
            .code()
    }

    /// Signals the children directly: `unshare` does not forward signals, and an entry point that has switched users
    /// does not end with it.
    fn signal(&self, name: &str) {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            // It may have exited already.
            let _ = Command::new("kill").args(["-s", name, child]).status();
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal("KILL");
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
