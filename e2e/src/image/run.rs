//! Starts an image's entry point with the image as its root: read-only, as the image's user, in namespaces of its
//! own for mounts and processes. The network is this machine's.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::build::Image;

/// A process that runs in an image; killed when dropped.
#[derive(Debug)]
pub struct Container {
    child: Child,
}

/// The lines that make the root read-only before they give it to the entry point. A root that can be written to
/// ends them with 97.
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

/// Whether this machine lets its user make namespaces, without which nothing here can be run.
pub fn namespaces_are_allowed() -> bool {
    let mut command = unshare("0:0");
    command.args(["mount", "--bind", "/tmp", "/tmp"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// `unshare`, as root directly and as anybody else in a user namespace, in which the user gets the image's numbers.
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
    /// The loopback address for what runs in it, also known there as `image.test`. It follows from the image's
    /// folder, so that runs side by side do not meet; local clusters have blocks below it.
    pub fn address(&self) -> Ipv4Addr {
        let mut hasher = DefaultHasher::new();
        self.root.hash(&mut hasher);
        let [high, low, ..] = hasher.finish().to_be_bytes();
        Ipv4Addr::new(127, 254, high, low.clamp(1, 254))
    }

    /// Its entry point with further arguments, not yet started. `environment` comes on top of the image's own, and
    /// is all the process gets.
    ///
    /// # Panics
    /// When the image has no numeric user other than root, as `runAsNonRoot` demands, or no entry point.
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

    /// Starts its entry point. Its output goes to this process's.
    ///
    /// # Panics
    /// As [`Image::command`], and when it does not start.
    pub fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Container {
        let mut command = self.command(arguments, environment);
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare starts");
        Container { child }
    }
}

/// What every container runtime puts into a container: `/proc`, and files for name resolution.
fn mount_points(root: &Path, address: Ipv4Addr) {
    for folder in ["proc", "etc"] {
        fs::create_dir_all(root.join(folder)).expect("a mount point");
    }
    let hosts = format!("127.0.0.1 localhost\n{address} image.test\n");
    fs::write(root.join("etc/hosts"), hosts).expect("hosts");
    fs::write(root.join("etc/resolv.conf"), "nameserver 127.0.0.1\n").expect("resolv.conf");
}

impl Container {
    /// Tells the process to end, and waits until it has. Its exit code.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().expect("it is waited for").code()
    }

    /// `unshare` passes no signal on, and an entry point that became another user does not end with it.
    fn signal(&self, name: &str) {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            // It may have ended by itself.
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
