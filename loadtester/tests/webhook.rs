//! `loadtester serve` as a program: webhooks in, load out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "webhook/conditions.rs"]
mod conditions;
#[path = "webhook/stop.rs"]
mod stop;
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use support::{Server, call, ok, response, wait_until};

struct LoadTester {
    child: Child,
    address: SocketAddr,
    /// Kept open so that logging never fails.
    log: BufReader<ChildStdout>,
}

impl Drop for LoadTester {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl LoadTester {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtester"))
            .args(["serve", "--port", "0"])
            .args(arguments)
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit(' ').next().unwrap();
        let address = address
            .parse()
            .unwrap_or_else(|_| panic!("no address in {line:?}"));
        Self {
            child,
            address,
            log,
        }
    }

    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        call(self.address, "POST", path, "", &body.to_string())
    }

    fn tasks(&self) -> Vec<Value> {
        let (status, body) = call(self.address, "GET", "/tasks", "", "");
        assert_eq!(status, 200);
        serde_json::from_str(&body).unwrap()
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    fn wait_until_logged(&mut self, part: &str) {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert_ne!(
                self.log.read_line(&mut line).unwrap(),
                0,
                "not logged: {part}"
            );
        }
    }

    fn stops_with_success(&mut self) -> bool {
        let mut status = None;
        wait_until("the server has stopped", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().success()
    }

    fn running(&self) -> usize {
        self.tasks()
            .iter()
            .filter(|task| task["state"] == "running")
            .count()
    }
}

fn webhook(command: &str) -> Value {
    json!({
        "name": "simple-app", "namespace": "default", "phase": "Progressing", "checksum": "a1",
        "metadata": {"type": "cmd", "cmd": command, "logCmdOutput": "true"},
    })
}

#[test]
fn six_webhooks_with_the_same_command_start_one_run_and_deleting_it_ends_it() {
    let proxy = Server::start(|request| {
        assert_eq!(
            request.line,
            "GET http://simple-app-canary.default.svc:80/ HTTP/1.1"
        );
        ok("version: 1.0.1")
    });
    let server = LoadTester::start(&[], &[("HTTP_PROXY", &proxy.url())]);
    let hook = webhook("hey -z 2m -q 1000 -c 2 http://simple-app-canary.default:80/");
    for _ in 0..6 {
        assert_eq!(server.post("/", &hook), (202, String::new()));
    }
    wait_until("load arrives", || proxy.count() > 100);
    let tasks = server.tasks();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0]["canary"], "simple-app.default");
    assert_eq!(tasks[0]["state"], "running");
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 2);
    wait_until("live figures are shown", || {
        server.tasks()[0]["report"]["responses"].as_u64() > Some(100)
    });

    let mut other = hook.clone();
    other["namespace"] = "prod".into();
    assert_eq!(server.post("/", &other).0, 202);
    assert_eq!(server.running(), 2, "another canary has its own run");

    assert_eq!(call(server.address, "DELETE", "/tasks/1", "", "").0, 202);
    wait_until("the run has ended", || server.running() == 1);
    let ended = server
        .tasks()
        .into_iter()
        .find(|task| task["id"] == 1)
        .unwrap();
    assert_eq!(ended["state"], "cancelled");
    assert!(
        ended["report"]["statuses"]["200"].as_u64() > Some(100),
        "{ended}"
    );
    assert_eq!(call(server.address, "DELETE", "/tasks/1", "", "").0, 404);
    assert_eq!(server.post("/", &hook).0, 202);
    assert_eq!(server.running(), 2, "an ended command may run again");
}

#[test]
fn gates_respond_like_those_of_flagger_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gates.json");
    let arguments = ["--gates-file", file.to_str().unwrap()];
    let canary = json!({"name": "app", "namespace": "prod"});
    {
        let server = LoadTester::start(&arguments, &[]);
        assert_eq!(server.post("/gate/approve", &canary), (200, "OK".into()));
        assert_eq!(
            server.post("/gate/halt", &canary),
            (403, "Forbidden".into())
        );
        assert_eq!(
            server.post("/gate/check", &canary),
            (403, "Forbidden".into())
        );
        assert_eq!(server.post("/gate/open", &canary), (202, String::new()));
        assert_eq!(
            server.post("/gate/check", &canary),
            (200, "Approved".into())
        );
        assert_eq!(
            server.post("/rollback/check", &canary),
            (403, "Forbidden".into())
        );
        assert_eq!(server.post("/rollback/open", &canary), (202, String::new()));
    }
    let server = LoadTester::start(&arguments, &[]);
    assert_eq!(server.post("/gate/check", &canary).0, 200);
    assert_eq!(
        server.post("/rollback/check", &canary),
        (200, "Approved".into())
    );
    let (_, gates) = call(server.address, "GET", "/gates", "", "");
    let gates: Value = serde_json::from_str(&gates).unwrap();
    assert_eq!(gates["rollback.app.prod"]["changed_by"], "127.0.0.1");
    let changed_at = gates["rollback.app.prod"]["changed_at"].as_u64();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert!(changed_at <= Some(now.as_secs()) && changed_at > Some(now.as_secs() - 3600));
    // `alice:`, as `curl -u alice:` sends it.
    let alice = "Authorization: Basic YWxpY2U6\r\n";
    let closed = call(
        server.address,
        "POST",
        "/gate/close",
        alice,
        &canary.to_string(),
    );
    assert_eq!(closed.0, 202);
    let (_, gates) = call(server.address, "GET", "/gates", "", "");
    let gates: Value = serde_json::from_str(&gates).unwrap();
    assert_eq!(gates["app.prod"]["changed_by"], "alice (127.0.0.1)");
    assert_eq!(server.post("/gate/check", &canary).0, 403);
    assert_eq!(server.post("/gate/check", &json!({"name": "app"})).0, 400);
}

#[test]
fn a_refused_webhook_gets_the_reason() {
    let server = LoadTester::start(&["--namespace-regexp", "^default$"], &[]);
    let refusals = [
        (json!("text"), 400, "not a webhook payload"),
        (
            json!({"name": "a", "namespace": "default"}),
            400,
            "metadata not found in payload",
        ),
        (webhook(""), 400, "cmd not found in metadata"),
        (
            webhook("hey http://www.example.com/"),
            400,
            "--allow-target",
        ),
        (webhook("rm -rf /"), 400, "--allow-exec"),
        (
            json!({"name": "a", "namespace": "other", "metadata": {}}),
            403,
            "Forbidden",
        ),
    ];
    for (body, status, part) in refusals {
        let (found, text) = server.post("/", &body);
        assert_eq!(found, status, "{body}: {text}");
        assert!(text.contains(part), "{body}: {part} is missing in {text}");
    }
    let large = "x".repeat(100_000);
    assert_eq!(call(server.address, "POST", "/", "", &large).0, 413);
    // Malformed chunks.
    let chunked = "Transfer-Encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(call(server.address, "POST", "/", chunked, "").0, 400);
    assert_eq!(
        call(server.address, "GET", "/healthz", "", ""),
        (200, "OK".into())
    );
    let (_, metrics) = call(server.address, "GET", "/metrics", "", "");
    assert!(
        metrics.contains("loadtester_webhooks_total{code=\"400\"} 6"),
        "{metrics}"
    );
}

#[test]
fn a_redirect_to_a_host_that_is_not_allowed_is_refused() {
    let target =
        Server::start(|_| response("302 Found", "Location: http://169.254.169.254/\r\n", ""));
    let server = LoadTester::start(&[], &[]);
    assert_eq!(
        server
            .post("/", &webhook(&format!("hey -n 2 -c 1 {}", target.url())))
            .0,
        202
    );
    wait_until("the run has ended", || {
        server.tasks().len() == 1 && server.running() == 0
    });
    let errors = &server.tasks()[0]["report"]["errors"];
    let refusal = errors.as_object().unwrap().keys().next().unwrap();
    assert!(
        refusal.contains("`169.254.169.254` is not allowed"),
        "{errors}"
    );
}

#[test]
fn tasks_workers_and_rate_are_limited() {
    let target = Server::start(|_| ok(""));
    let url = target.url();
    let arguments = [
        "--max-tasks",
        "2",
        "--max-rate",
        "100",
        "--max-workers",
        "10",
    ];
    let server = LoadTester::start(&arguments, &[]);
    for (command, status, part) in [
        (format!("hey -z 1m -c 11 -q 1 {url}"), 429, "--max-workers"),
        (format!("hey -z 1m -c 2 {url}"), 429, "-q or --rate"),
        (format!("hey -z 1m -c 2 -q 40 {url}"), 202, ""),
        (format!("hey -z 1m -c 2 -q 20 {url}"), 429, "--max-rate"),
        (format!("hey -z 1m -c 2 -q 5 {url}"), 202, ""),
        (format!("hey -z 1m -c 2 -q 1 {url}"), 429, "--max-tasks"),
    ] {
        let (found, text) = server.post("/", &webhook(&command));
        assert_eq!(found, status, "{command}: {text}");
        assert!(text.contains(part), "{command}: {text}");
    }
}

#[test]
fn a_client_that_sends_slowly_is_disconnected() {
    let server = LoadTester::start(&["--head-timeout", "1s"], &[]);
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.set_read_timeout(Some(support::DEADLINE)).unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: a\r\n").unwrap();
    let mut text = String::new();
    // The server closes the connection with or without a response, so reading ends before the deadline.
    slow.read_to_string(&mut text).unwrap();
    assert!(!text.starts_with("HTTP/1.1 2"), "{text}");
}

#[test]
fn every_path_but_health_needs_the_token() {
    let server = LoadTester::start(&[], &[("LOADTESTER_TOKEN", "secret")]);
    let get = |path: &str, headers: &str| call(server.address, "GET", path, headers, "").0;
    assert_eq!(get("/healthz", ""), 200);
    for headers in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Basic eDp5\r\n",
    ] {
        assert_eq!(get("/tasks", headers), 401, "{headers}");
        assert_eq!(get("/gate/approve", headers), 401, "{headers}");
    }
    assert_eq!(get("/tasks", "Authorization: Bearer secret\r\n"), 200);
    // `token:secret`, as sent for a webhook URL with user information.
    assert_eq!(
        get("/tasks", "Authorization: Basic dG9rZW46c2VjcmV0\r\n"),
        200
    );
}

#[test]
fn an_empty_token_is_refused_at_the_start() {
    // With a valid token the server would fail on the gates instead.
    for token in ["", " "] {
        let output = Command::new(env!("CARGO_BIN_EXE_loadtester"))
            .args(["serve", "--gates-file", "/"])
            .env_clear()
            .env("LOADTESTER_TOKEN", token)
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("LOADTESTER_TOKEN is empty"), "{message}");
    }
}

#[test]
fn allowed_programs_run_without_a_shell_and_awaited_types_return_their_output() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("kubectl");
    write_program(&program, "#!/bin/sh\necho \"$# $1\"\nexit $2\n");
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let server = LoadTester::start(&["--allow-exec", "kubectl"], &[("PATH", &path)]);
    let hook = |command: &str| {
        let mut hook = webhook(command);
        hook["metadata"]["type"] = "kubectl".into();
        hook["metadata"]["returnCmdOutput"] = "true".into();
        hook
    };
    assert_eq!(
        server.post("/", &hook("'a b;c' 0")),
        (200, "2 a b;c\n".into())
    );
    let (status, text) = server.post("/", &hook("x 3"));
    assert_eq!(status, 500);
    assert!(
        text.contains("command x 3 failed") && text.contains("exit status: 3"),
        "{text}"
    );
}

#[test]
fn the_same_arguments_for_two_programs_are_two_commands() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let wait = format!(
        "#!/bin/sh\nuntil [ -e '{}' ]; do sleep 0.01; done\n",
        go.display()
    );
    write_program(&folder.path().join("kubectl"), &wait);
    write_program(&folder.path().join("helm"), "#!/bin/sh\n");
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let server = LoadTester::start(&["--allow-exec", "kubectl,helm"], &[("PATH", &path)]);
    let hook = |kind: &str| {
        let mut hook = webhook("version");
        hook["metadata"]["type"] = kind.into();
        hook
    };
    std::thread::scope(|scope| {
        let kubectl = scope.spawn(|| server.post("/", &hook("kubectl")).0);
        wait_until("kubectl runs", || server.running() == 1);
        let helm = server.post("/", &hook("helm")).0;
        let kubectl_again = server.post("/", &hook("kubectl")).0;
        std::fs::write(&go, "").unwrap();
        assert_eq!((helm, kubectl_again), (200, 409));
        assert_eq!(kubectl.join().unwrap(), 200);
    });
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_shell_cannot_be_allowed_and_an_error_names_the_setting() {
    for (arguments, part) in [
        (["--allow-exec", "/bin/bash"], "is a shell"),
        (["--allow-target", "http://x/"], "--allow-target"),
        (["--namespace-regexp", "("], "--namespace-regexp"),
        (["--timeout", "soon"], "--timeout"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_loadtester"))
            .arg("serve")
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
}
