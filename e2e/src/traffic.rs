//! Traffic for the app.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

use crate::http::Client;

/// Counts of responses by body, and of failures by cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Responses with status 200, by body.
    pub answers: BTreeMap<String, u64>,
    /// All other statuses and connection errors.
    pub failures: BTreeMap<String, u64>,
}

impl Sample {
    fn ask(&mut self, client: &mut Client) {
        match client.get("/") {
            Ok(response) if response.status == 200 => {
                *self.answers.entry(response.body).or_default() += 1;
            }
            Ok(response) => {
                let what = format!("status {}: {}", response.status, response.body);
                *self.failures.entry(what).or_default() += 1;
            }
            Err(error) => *self.failures.entry(error.to_string()).or_default() += 1,
        }
    }

    fn add(&mut self, other: Self) {
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }

    /// Number of requests.
    pub fn total(&self) -> u64 {
        self.answers.values().chain(self.failures.values()).sum()
    }

    /// Failures that did not come from this version. The app names its version in error responses.
    pub fn failures_besides(&self, version: &str) -> Vec<&String> {
        let failures = self.failures.keys();
        failures.filter(|what| !what.contains(version)).collect()
    }

    /// Percentage of requests that this version answered.
    pub fn percent(&self, version: &str) -> f64 {
        let hits = self
            .answers
            .get(&format!("version: {version}"))
            .copied()
            .unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let percent = hits as f64 * 100.0 / self.total().max(1) as f64;
        percent
    }
}

/// Sends `requests` requests over `connections` connections without pauses.
///
/// # Panics
/// Panics if a worker panics. Failed requests are counted in the sample.
pub fn burst(url: &str, requests: u64, connections: u64) -> Sample {
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let mut client = Client::new(url);
            thread::spawn(move || {
                let mut sample = Sample::default();
                for _ in 0..requests / connections {
                    sample.ask(&mut client);
                }
                sample
            })
        })
        .collect();
    let mut all = Sample::default();
    for worker in workers {
        all.add(worker.join().expect("a worker does not panic"));
    }
    all
}

/// Continuous requests in the background until [`Traffic::stop`].
#[derive(Debug)]
pub struct Traffic {
    ended: Arc<AtomicBool>,
    sample: Arc<Mutex<Sample>>,
    workers: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts `users` connections with about 100 requests per second each.
    pub fn start(url: &str, users: usize) -> Self {
        let (ended, sample) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(Sample::default())),
        );
        let workers = (0..users)
            .map(|_| {
                let (ended, sample, mut client) = (ended.clone(), sample.clone(), Client::new(url));
                thread::spawn(move || {
                    while !ended.load(Ordering::Relaxed) {
                        let mut one = Sample::default();
                        one.ask(&mut client);
                        sample.lock().expect("no user panics").add(one);
                        sleep(Duration::from_millis(10));
                    }
                })
            })
            .collect();
        Self {
            ended,
            sample,
            workers,
        }
    }

    /// Returns the sample so far.
    ///
    /// # Panics
    /// Panics if a user panicked.
    pub fn so_far(&self) -> Sample {
        self.sample.lock().expect("no user panics").clone()
    }

    /// Stops the traffic and returns the sample.
    ///
    /// # Panics
    /// Panics if a user panicked.
    pub fn stop(mut self) -> Sample {
        self.end();
        self.so_far()
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            worker.join().expect("no user panics");
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
