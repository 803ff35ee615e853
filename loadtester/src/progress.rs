//! The progress line of a run at a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::Control;
use crate::plan::Plan;
use crate::recorder::Totals;
use crate::report::text::human;

const EVERY: Duration = Duration::from_millis(500);

/// Shows the line until [`Progress::finish`], on standard error and only if that is a terminal.
pub(crate) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    pub(crate) fn start(plan: &Plan, control: &Arc<Control>) -> Self {
        if plan.quiet || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let (control, limit) = (Arc::clone(control), plan.limit.duration);
        let (stop, stopped) = mpsc::channel();
        let show = move || {
            let mut before: Option<(Totals, Duration)> = None;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                control.refresh();
                let Some((totals, elapsed)) = control.snapshot() else {
                    continue;
                };
                let (recent, window) = match &before {
                    Some((earlier, then)) => (totals.since(earlier), elapsed.saturating_sub(*then)),
                    None => (totals.clone(), elapsed),
                };
                eprint!("\r\x1b[K{}", line(&totals, &recent, window, elapsed, limit));
                before = Some((totals, elapsed));
            }
            eprint!("\r\x1b[K");
            // A closed terminal needs no clearing.
            let _ = std::io::stderr().flush();
        };
        // Without a thread, the load runs without the line.
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(show);
        Self(thread.ok().map(|thread| (stop, thread)))
    }

    /// Clears the line.
    pub(crate) fn finish(self) {
        if let Some((stop, thread)) = self.0 {
            drop(stop);
            // The thread has no result.
            let _ = thread.join();
        }
    }
}

/// The elapsed time, the rate and percentiles since the last update, the failures of the whole run.
fn line(
    totals: &Totals,
    recent: &Totals,
    window: Duration,
    elapsed: Duration,
    limit: Option<Duration>,
) -> String {
    let rate = recent.responses() as f64 / window.as_secs_f64().max(f64::MIN_POSITIVE);
    let of = limit.map_or_else(String::new, |limit| {
        format!(" of {:.0}s", limit.as_secs_f64())
    });
    let percentile = |p| {
        recent
            .latency()
            .percentile(p)
            .map_or_else(|| "-".to_owned(), human)
    };
    format!(
        "{:.0}s{of}  {} requests  {rate:.0}/s  p50 {}  p99 {}  failed {}",
        elapsed.as_secs_f64(),
        totals.requests(),
        percentile(50.0),
        percentile(99.0),
        totals.failures(),
    )
}

#[cfg(test)]
mod tests {
    use loadtester_http1::Timing;

    use super::*;
    use crate::recorder::Response;

    #[test]
    fn the_line_has_recent_latencies_and_all_failures() {
        let mut totals = Totals::new(false);
        let response = |status| Response {
            status,
            bytes: 1,
            timing: Timing::default(),
        };
        for _ in 0..100 {
            totals.record(&response(500), Duration::from_secs(1), None);
        }
        let earlier = totals.clone();
        for _ in 0..50 {
            totals.record(&response(200), Duration::from_millis(2), None);
        }
        let recent = totals.since(&earlier);
        let second = Duration::from_secs(1);
        assert_eq!(
            line(&totals, &recent, second / 2, second * 3, Some(second * 30)),
            "3s of 30s  150 requests  100/s  p50 2.001 ms  p99 2.001 ms  failed 100"
        );
        let nothing = Totals::new(false);
        assert_eq!(
            line(&nothing, &nothing, second, second, None),
            "1s  0 requests  0/s  p50 -  p99 -  failed 0"
        );
    }
}
