//! The program that pods run in the integration tests. It serves HTTP on `BIND_ADDRESS`:`PORT` and
//! misbehaves on request.
//!
//! Environment:
//! - `EXIT`: exits immediately with that code.
//! - `READY_AFTER`: milliseconds until `/ready` returns 200.
//! - `DRAIN`: milliseconds for which it keeps serving after SIGTERM.
//! - `STUBBORN`: ignores SIGTERM.
//!
//! Arguments:
//! - `exit CODE`: exits.
//! - `shim …`: acts as the kubelet's shim.
//! - `parent`: starts itself as a child through the shim, prints the child's process id and waits.

use std::{
    env,
    ffi::OsString,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use localcluster_shared::process::{Launch, Spawner, shim};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    time::sleep,
};

static HEALTHY: AtomicBool = AtomicBool::new(true);

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["exit", code] => process::exit(code.parse().unwrap_or(1)),
        ["shim", "--parent", parent, "--", program, rest @ ..] => {
            let rest: Vec<OsString> = rest.iter().map(Into::into).collect();
            return Err(shim::run(
                parent.parse().unwrap_or(0),
                Path::new(program),
                &rest,
            ));
        }
        ["parent"] => return be_a_parent().await,
        _ => println!("started {}", arguments.join(" ")),
    }
    if let Some(code) = number("EXIT") {
        eprintln!("exiting with {code}");
        process::exit(i32::try_from(code).unwrap_or(1));
    }
    let begun = Instant::now();
    let address = env::var("BIND_ADDRESS").unwrap_or_else(|_| "127.0.0.1".into());
    let port = env::var("PORT").unwrap_or_else(|_| "8080".into());
    let listener = TcpListener::bind(format!("{address}:{port}")).await?;
    let mut term = signal(SignalKind::terminate())?;
    let mut draining = false;
    let mut exit = Box::pin(sleep(Duration::MAX));
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(tokio::spawn(answer(accepted?.0, begun))),
            _ = term.recv(), if !draining => {
                println!("received SIGTERM");
                draining = true;
                let drain = number("DRAIN").unwrap_or(0);
                let stubborn = env::var("STUBBORN").is_ok();
                exit = Box::pin(sleep(if stubborn { Duration::MAX } else { Duration::from_millis(drain) }));
            }
            () = &mut exit => {
                println!("bye");
                return Ok(());
            }
        }
    }
}

async fn be_a_parent() -> std::io::Result<()> {
    let this = env::current_exe()?;
    let launch = Launch {
        program: this.clone(),
        args: vec!["child".into()],
        env: env::vars().collect(),
        cwd: "/".into(),
    };
    let child = Spawner::new(Some(this))
        .spawn(&launch, Arc::new(()))
        .await
        .map_err(std::io::Error::other)?;
    println!("child {}", child.pid().as_raw_nonzero());
    sleep(Duration::MAX).await;
    drop(child);
    Ok(())
}

async fn answer(mut stream: TcpStream, begun: Instant) {
    let mut request = vec![0; 4096];
    let read = stream.read(&mut request).await.unwrap_or(0);
    let text = String::from_utf8_lossy(&request[..read]).into_owned();
    let path = text.split_whitespace().nth(1).unwrap_or("/");
    let ready_after = Duration::from_millis(number("READY_AFTER").unwrap_or(0));
    let (status, body) = match path {
        "/ready" if begun.elapsed() < ready_after => (503, "not yet".to_owned()),
        "/healthy" if !HEALTHY.load(Ordering::Relaxed) => (500, "sick".to_owned()),
        "/sicken" => {
            HEALTHY.store(false, Ordering::Relaxed);
            (200, String::new())
        }
        "/crash" => process::exit(9),
        "/env" => (
            200,
            env::vars()
                .map(|(name, value)| format!("{name}={value}\n"))
                .collect(),
        ),
        _ => (200, env::var("VERSION").unwrap_or_default()),
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // Fails if the client has disconnected.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}
