//! Results of a run: counts, sums and latency histograms. Their size does not depend on the number of requests.
//!
//! Each thread fills its own [`Totals`]. They are merged at the end of a run, and for a snapshot of a running one.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use loadtester_http1::Timing;

/// Latencies above an hour are counted as an hour.
const LONGEST_NANOSECONDS: u64 = 3_600_000_000_000;

/// A response, as far as it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Bytes of the body as transferred, without framing.
    pub bytes: u64,
    /// Durations of the phases.
    pub timing: Timing,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Results of all threads.
    pub totals: Totals,
    /// Time from the end of the warm-up to the last response.
    pub elapsed: Duration,
}

/// Exact sum, minimum and maximum of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    count: u64,
    sum: Duration,
    minimum: Duration,
    maximum: Duration,
}

impl Default for Span {
    fn default() -> Self {
        Self {
            count: 0,
            sum: Duration::ZERO,
            minimum: Duration::MAX,
            maximum: Duration::ZERO,
        }
    }
}

impl Span {
    fn add(&mut self, value: Duration) {
        self.count += 1;
        self.sum += value;
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
    }

    /// Mean, if anything was added.
    pub fn average(&self) -> Option<Duration> {
        (self.count > 0)
            .then(|| Duration::from_secs_f64(self.sum.as_secs_f64() / self.count as f64))
    }

    /// Minimum, if anything was added.
    pub fn fastest(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.minimum)
    }

    /// Maximum, if anything was added.
    pub fn slowest(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.maximum)
    }
}

/// Latencies: exact count, sum, minimum and maximum; percentiles to three digits.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    span: Span,
}

impl Latency {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3)
            .expect("constant bounds that the histogram accepts");
        Self {
            histogram,
            span: Span::default(),
        }
    }

    fn add(&mut self, latency: Duration) {
        self.histogram.saturating_record(nanoseconds(latency));
        self.span.add(latency);
    }

    fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so nothing is lost.
        let _ = self.histogram.add(&other.histogram);
        self.span.merge(&other.span);
    }

    /// Number of latencies recorded.
    pub fn count(&self) -> u64 {
        self.span.count
    }

    /// Mean.
    pub fn average(&self) -> Option<Duration> {
        self.span.average()
    }

    /// Minimum.
    pub fn fastest(&self) -> Option<Duration> {
        self.span.fastest()
    }

    /// Maximum.
    pub fn slowest(&self) -> Option<Duration> {
        self.span.slowest()
    }

    /// The value that `percentile` percent do not exceed, between the exact minimum and maximum.
    pub fn percentile(&self, percentile: f64) -> Option<Duration> {
        let (fastest, slowest) = (self.fastest()?, self.slowest()?);
        let value = Duration::from_nanos(self.histogram.value_at_percentile(percentile));
        Some(value.clamp(fastest, slowest))
    }

    /// Number of latencies at or below each mark.
    pub fn at_or_below(&self, marks: &[Duration]) -> Vec<u64> {
        let mut counts = vec![0; marks.len()];
        for entry in self.histogram.iter_recorded() {
            // An entry is a range. Its lowest value decides, so that the minimum is at or below its own mark.
            let value =
                Duration::from_nanos(self.histogram.lowest_equivalent(entry.value_iterated_to()));
            for (mark, count) in marks.iter().zip(&mut counts) {
                if value <= *mark {
                    *count += entry.count_since_last_iteration();
                }
            }
        }
        counts
    }

    /// Latencies recorded since `earlier`; only counts, sums and percentiles are exact.
    fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        if later.histogram.subtract(&earlier.histogram).is_err() {
            return self.clone();
        }
        later.span.count -= earlier.span.count.min(later.span.count);
        later.span.sum = later.span.sum.saturating_sub(earlier.span.sum);
        later
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Distinct error texts that are kept. A text may contain names from servers, which can invent any number of them.
const MOST_ERRORS: usize = 100;
const OTHER_ERRORS: &str = "other errors";

/// Results of one thread, or of all.
#[derive(Clone, Debug)]
pub struct Totals {
    latency: Latency,
    corrected: Option<Latency>,
    phases: [Span; 5],
    statuses: Vec<(u16, u64)>,
    errors: BTreeMap<String, u64>,
    error_count: u64,
    bytes: u64,
    cut_off: u64,
    unsent: u64,
}

impl Totals {
    /// Empty totals; those of `scheduled` runs also have latencies from the moment each request was due.
    pub fn new(scheduled: bool) -> Self {
        Self {
            latency: Latency::new(),
            corrected: scheduled.then(Latency::new),
            phases: [Span::default(); 5],
            statuses: Vec::new(),
            errors: BTreeMap::new(),
            error_count: 0,
            bytes: 0,
            cut_off: 0,
            unsent: 0,
        }
    }

    /// Records a response: `latency` from sending, `corrected` from the moment the request was due.
    pub fn record(&mut self, response: &Response, latency: Duration, corrected: Option<Duration>) {
        self.latency.add(latency);
        if let (Some(into), Some(corrected)) = (&mut self.corrected, corrected) {
            into.add(corrected);
        }
        let Timing {
            dial,
            lookup,
            write,
            wait,
            read,
        } = response.timing;
        for (phase, value) in self
            .phases
            .iter_mut()
            .zip([dial, lookup, write, wait, read])
        {
            phase.add(value);
        }
        self.bytes += response.bytes;
        // Almost always the first: a list is faster than a map here.
        match self
            .statuses
            .iter_mut()
            .find(|(status, _)| *status == response.status)
        {
            Some((_, count)) => *count += 1,
            None => self.statuses.push((response.status, 1)),
        }
    }

    /// Records a request without a response.
    pub fn record_failure(&mut self, error: &impl ToString) {
        self.error_count += 1;
        self.count_error(&error.to_string(), 1);
    }

    fn count_error(&mut self, error: &str, count: u64) {
        let known = self.errors.contains_key(error) || self.errors.len() < MOST_ERRORS;
        let error = if known { error } else { OTHER_ERRORS };
        *self.errors.entry(error.to_owned()).or_default() += count;
    }

    /// Records a request that was in flight when the run ended.
    pub fn cut_off(&mut self) {
        self.cut_off += 1;
    }

    /// Records beats without a free worker.
    pub fn add_unsent(&mut self, beats: u64) {
        self.unsent += beats;
    }

    /// Adds the results of another thread.
    pub fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        match (&mut self.corrected, &other.corrected) {
            (Some(own), Some(other)) => own.merge(other),
            (None, Some(other)) => self.corrected = Some(other.clone()),
            (_, None) => {}
        }
        for (own, other) in self.phases.iter_mut().zip(&other.phases) {
            own.merge(other);
        }
        for (status, count) in &other.statuses {
            match self.statuses.iter_mut().find(|(own, _)| own == status) {
                Some((_, own)) => *own += count,
                None => self.statuses.push((*status, *count)),
            }
        }
        for (error, count) in &other.errors {
            self.count_error(error, *count);
        }
        self.error_count += other.error_count;
        self.bytes += other.bytes;
        self.cut_off += other.cut_off;
        self.unsent += other.unsent;
    }

    /// Latencies from the moment of sending.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Latencies from the moment each request was due, if there was a schedule.
    pub fn corrected(&self) -> Option<&Latency> {
        self.corrected.as_ref()
    }

    /// Spans of dial, lookup, write, wait and read.
    pub fn phases(&self) -> &[Span; 5] {
        &self.phases
    }

    /// Responses by status code, ascending.
    pub fn statuses(&self) -> BTreeMap<u16, u64> {
        self.statuses.iter().copied().collect()
    }

    /// Requests without a response, by reason.
    pub fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// Requests with a response.
    pub fn responses(&self) -> u64 {
        self.latency.count()
    }

    /// Requests that ended, with or without a response.
    pub fn requests(&self) -> u64 {
        self.responses() + self.error_count
    }

    /// Requests without a response, and responses with a status of 400 or above.
    pub fn failures(&self) -> u64 {
        let errors = self.statuses.iter().filter(|(status, _)| *status >= 400);
        self.error_count + errors.map(|(_, count)| count).sum::<u64>()
    }

    /// Bytes of all bodies.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Requests that were in flight when the run ended.
    pub fn cut_off_count(&self) -> u64 {
        self.cut_off
    }

    /// Beats of the schedule without a free worker.
    pub fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Results since `earlier`; only counts and percentiles are exact.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        later.latency = self.latency.since(&earlier.latency);
        later.error_count = self.error_count.saturating_sub(earlier.error_count);
        let before = earlier.statuses();
        for (status, count) in &mut later.statuses {
            *count = count.saturating_sub(before.get(status).copied().unwrap_or(0));
        }
        later
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(status: u16) -> Response {
        Response {
            status,
            bytes: 14,
            timing: Timing::default(),
        }
    }

    #[test]
    fn results_past_a_million_are_counted_exactly_in_the_same_memory() {
        let mut totals = Totals::new(false);
        let cells = totals.latency.histogram.distinct_values();
        for i in 0..1_200_000u64 {
            let latency = Duration::from_nanos(1000 + i);
            totals.record(&response(if i % 4 == 0 { 500 } else { 200 }), latency, None);
        }
        assert_eq!(
            totals.statuses(),
            BTreeMap::from([(200, 900_000), (500, 300_000)])
        );
        assert_eq!(totals.failures(), 300_000);
        assert_eq!(totals.bytes(), 16_800_000);
        let average = totals.latency().average().unwrap().as_nanos();
        assert!((600_999..=601_000).contains(&average), "{average}");
        assert_eq!(totals.latency.histogram.distinct_values(), cells);
    }

    #[test]
    fn distinct_errors_take_bounded_memory_and_are_all_counted() {
        let mut totals = Totals::new(false);
        let mut other = Totals::new(false);
        for i in 0..1000 {
            totals.record_failure(&format!("no {i}"));
            other.record_failure(&format!("nor {i}"));
        }
        totals.merge(&other);
        assert_eq!(totals.errors().len(), MOST_ERRORS + 1);
        assert_eq!(totals.errors().values().sum::<u64>(), 2000);
        assert_eq!((totals.errors()["no 0"], totals.requests()), (1, 2000));
    }

    proptest! {
        // Each case fills several histograms, which takes a while without optimisation.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn percentiles_are_within_one_percent_of_the_sorted_list(
            mut values in proptest::collection::vec(1_000u64..10_000_000_000, 1..500),
            percentile in 0.0f64..=100.0,
        ) {
            let mut totals = Totals::new(false);
            for value in &values {
                totals.record(&response(200), Duration::from_nanos(*value), None);
            }
            values.sort_unstable();
            let rank = ((percentile / 100.0 * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1] as f64;
            let found = totals.latency().percentile(percentile).unwrap().as_nanos() as f64;
            // The rank itself may be off by one for rounding; its neighbours then bound the value.
            let low = values[rank.saturating_sub(2)] as f64;
            let high = values[rank.min(values.len() - 1)] as f64;
            prop_assert!(found >= low * 0.99 && found <= high * 1.01, "{} for {}", found, exact);
        }

        #[test]
        fn merged_threads_equal_one(
            values in proptest::collection::vec((1u64..1_000_000_000, 0usize..3), 0..200),
        ) {
            let mut one = Totals::new(true);
            let mut threads = [Totals::new(true), Totals::new(true), Totals::new(true)];
            for (value, thread) in &values {
                let latency = Duration::from_nanos(*value);
                for totals in [&mut one, &mut threads[*thread]] {
                    if value % 7 == 0 {
                        totals.record_failure(&format!("error {}", value % 3));
                    } else {
                        totals.record(&response(200 + (value % 5) as u16), latency, Some(latency * 2));
                    }
                }
            }
            let mut merged = Totals::new(true);
            for totals in &threads {
                merged.merge(totals);
            }
            prop_assert_eq!(merged.statuses(), one.statuses());
            prop_assert_eq!(merged.errors(), one.errors());
            prop_assert_eq!(merged.phases(), one.phases());
            for p in [0.0, 50.0, 99.0, 100.0] {
                prop_assert_eq!(merged.latency().percentile(p), one.latency().percentile(p));
                let (merged, one) = (merged.corrected().unwrap(), one.corrected().unwrap());
                prop_assert_eq!(merged.percentile(p), one.percentile(p));
            }
        }
    }
}
