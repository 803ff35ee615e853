//! A parsed command line: the value of each flag, and the URLs.

use std::time::Duration;

/// A command line that cannot be run. The text names the flag and the expected value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Format of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// The summary of hey.
    #[default]
    Summary,
    /// One line per request, in the columns of hey.
    Csv,
    /// One JSON object; its schema is `report.schema.json`.
    Json,
}

/// A parsed command line. No file is read and no name looked up yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Typed {
    /// `-n`: total number of requests.
    pub requests: Option<u64>,
    /// `-c`: workers.
    pub workers: Option<usize>,
    /// `-q`: requests per second of each worker.
    pub worker_rate: Option<f64>,
    /// `--rate`: requests per second of all workers together.
    pub total_rate: Option<f64>,
    /// `-z`: time in which requests are sent.
    pub duration: Option<Duration>,
    /// `--warmup`: time before recording starts.
    pub warmup: Duration,
    /// `--drain`: time limit for requests in flight at the end of `-z`.
    pub drain: Option<Duration>,
    /// `-t`: time limit of one request; zero means none.
    pub timeout: Option<Duration>,
    /// `-o`, `--json`.
    pub output: Output,
    /// `--fail-on`: conditions that decide the exit code.
    pub fail_on: Option<String>,
    /// `-m`.
    pub method: Option<String>,
    /// `-H`, in the order typed.
    pub headers: Vec<String>,
    /// `-A`.
    pub accept: Option<String>,
    /// `-d`.
    pub body: Option<String>,
    /// `-D`.
    pub body_file: Option<String>,
    /// `-T`.
    pub content_type: Option<String>,
    /// `-U`.
    pub user_agent: Option<String>,
    /// `-a`.
    pub basic_auth: Option<String>,
    /// `-x`.
    pub proxy: Option<String>,
    /// `-host`.
    pub host: Option<String>,
    /// `-h2`: HTTP/2 over TLS.
    pub http2: bool,
    /// `--h2c`: HTTP/2 without TLS.
    pub http2_plain: bool,
    /// `-disable-compression`.
    pub disable_compression: bool,
    /// `-disable-keepalive`.
    pub disable_keepalive: bool,
    /// `-disable-redirects`.
    pub disable_redirects: bool,
    /// `-cpus`: threads.
    pub threads: Option<usize>,
    /// `--cacert`: certificates to trust; without it none is checked, as in hey.
    pub ca_file: Option<String>,
    /// `--unix-socket`.
    pub unix_socket: Option<String>,
    /// `--urls`: a file of URLs.
    pub urls_file: Option<String>,
    /// `--quiet`: no progress line.
    pub quiet: bool,
    /// URLs, requested in turn.
    pub urls: Vec<String>,
}
