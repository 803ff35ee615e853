//! The summary for people: the lines of hey, then figures that hey does not have.

use std::fmt::Write as _;
use std::time::Duration;

use crate::recorder::{Latency, Outcome, Span, Totals};

const LONGEST_BAR: u64 = 40;
const HEY_PERCENTILES: [u32; 7] = [10, 25, 50, 75, 90, 95, 99];
/// Percentiles of the finer table.
pub(crate) const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// The report of a finished run.
pub fn summary(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail, here and below.
    let _ = write_summary(&mut text, outcome);
    text
}

fn write_summary(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let Outcome { totals, elapsed } = outcome;
    let latency = totals.latency();
    writeln!(text, "\nSummary:")?;
    writeln!(text, "  Total:\t{} secs", seconds(*elapsed))?;
    writeln!(text, "  Slowest:\t{}", seconds_or_none(latency.slowest()))?;
    writeln!(text, "  Fastest:\t{}", seconds_or_none(latency.fastest()))?;
    writeln!(text, "  Average:\t{}", seconds_or_none(latency.average()))?;
    // Only responses count: a target that refuses connections quickly is not fast.
    let rate = totals.responses() as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    writeln!(text, "  Requests/sec:\t{rate:.4}")?;
    writeln!(text, "  ")?;
    if let Some(size) = totals.bytes().checked_div(totals.responses())
        && totals.bytes() > 0
    {
        writeln!(text, "  Total data:\t{} bytes", totals.bytes())?;
        writeln!(text, "  Size/request:\t{size} bytes")?;
    }
    if totals.responses() > 0 {
        write_histogram(text, latency)?;
        write_distribution(text, latency)?;
        write_phases(text, totals.phases())?;
    }
    writeln!(text, "\nStatus code distribution:")?;
    for (status, count) in totals.statuses() {
        writeln!(text, "  [{status}]\t{count} responses")?;
    }
    write_failures(text, totals)?;
    if totals.responses() > 0 {
        write_fine_table(text, totals)?;
    }
    Ok(())
}

fn write_histogram(text: &mut String, latency: &Latency) -> std::fmt::Result {
    writeln!(text, "\nResponse time histogram:")?;
    for (mark, count, bar) in histogram(latency) {
        writeln!(
            text,
            "  {:.3} [{count}]\t|{}",
            mark.as_secs_f64(),
            "■".repeat(bar as usize)
        )?;
    }
    writeln!(text)
}

/// The eleven rows of hey, from the fastest in ten equal steps to the slowest: mark, count, length of the bar.
fn histogram(latency: &Latency) -> Vec<(Duration, u64, u64)> {
    let (Some(fastest), Some(slowest)) = (latency.fastest(), latency.slowest()) else {
        return Vec::new();
    };
    let step = (slowest - fastest) / 10;
    let marks: Vec<_> = (0..10)
        .map(|row| fastest + step * row)
        .chain(std::iter::once(slowest))
        .collect();
    let below = latency.at_or_below(&marks);
    let counts: Vec<u64> = std::iter::once(below[0])
        .chain(below.windows(2).map(|pair| pair[1] - pair[0]))
        .collect();
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    marks
        .into_iter()
        .zip(counts)
        .map(|(mark, count)| (mark, count, (count * LONGEST_BAR + most / 2) / most))
        .collect()
}

fn write_distribution(text: &mut String, latency: &Latency) -> std::fmt::Result {
    writeln!(text, "\nLatency distribution:")?;
    for percentile in HEY_PERCENTILES {
        let value = latency.percentile(percentile.into()).unwrap_or_default();
        writeln!(text, "  {percentile}% in {} secs", seconds(value))?;
    }
    Ok(())
}

fn write_phases(text: &mut String, phases: &[Span; 5]) -> std::fmt::Result {
    writeln!(text, "\nDetails (average, fastest, slowest):")?;
    let names = [
        "DNS+dialup",
        "DNS-lookup",
        "req write",
        "resp wait",
        "resp read",
    ];
    for (name, span) in names.into_iter().zip(phases) {
        let [average, fastest, slowest] = [span.average(), span.fastest(), span.slowest()]
            .map(|v| seconds(v.unwrap_or_default()));
        writeln!(
            text,
            "  {name}:\t{average} secs, {fastest} secs, {slowest} secs"
        )?;
    }
    Ok(())
}

/// A table finer than four decimals of a second; with a schedule it also has the latency from the moment due.
fn write_fine_table(text: &mut String, totals: &Totals) -> std::fmt::Result {
    let corrected = totals.corrected();
    let columns = if corrected.is_some() {
        " (from sending, from the moment due)"
    } else {
        ""
    };
    writeln!(text, "\nLatency percentiles{columns}:")?;
    for percentile in PERCENTILES {
        let from_sending = totals.latency().percentile(percentile).unwrap_or_default();
        write!(text, "  {percentile}%\t{}", human(from_sending))?;
        if let Some(value) = corrected.and_then(|latency| latency.percentile(percentile)) {
            write!(text, "\t{}", human(value))?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn write_failures(text: &mut String, totals: &Totals) -> std::fmt::Result {
    if !totals.errors().is_empty() {
        writeln!(text, "\nError distribution:")?;
        for (error, count) in totals.errors() {
            writeln!(text, "  [{count}]\t{error}")?;
        }
    }
    if totals.cut_off_count() > 0 {
        let count = totals.cut_off_count();
        writeln!(
            text,
            "\nCut off at the end:\t{count} requests were still waiting for their response"
        )?;
    }
    if totals.unsent() > 0 {
        let count = totals.unsent();
        writeln!(
            text,
            "\nNot sent:\t{count} requests were due while every worker was waiting for a response"
        )?;
    }
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.4}", duration.as_secs_f64())
}

fn seconds_or_none(duration: Option<Duration>) -> String {
    duration.map_or_else(
        || "no response".to_owned(),
        |duration| format!("{} secs", seconds(duration)),
    )
}

/// A duration in the unit that fits, with one or three decimals.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.3} ms", s * 1e3),
        s => format!("{s:.3} s"),
    }
}

#[cfg(test)]
mod tests {
    use loadtester_http1::Timing;

    use super::*;
    use crate::recorder::Response;

    fn outcome(scheduled: bool) -> Outcome {
        let mut totals = Totals::new(scheduled);
        for i in 1..=200u32 {
            let timing = Timing {
                dial: if i == 1 {
                    Duration::from_micros(300)
                } else {
                    Duration::ZERO
                },
                lookup: Duration::ZERO,
                write: Duration::from_micros(20),
                wait: Duration::from_micros(100 * u64::from(i)),
                read: Duration::from_micros(5),
            };
            let response = Response {
                status: if i % 50 == 0 { 500 } else { 200 },
                bytes: 14,
                timing,
            };
            let latency = Duration::from_micros(100 * u64::from(i) + 25);
            totals.record(&response, latency, scheduled.then_some(latency * 3));
        }
        Outcome {
            totals,
            elapsed: Duration::from_secs(2),
        }
    }

    #[test]
    fn the_summary_is_that_of_hey_with_a_finer_table() {
        insta::assert_snapshot!(summary(&outcome(false)));
    }

    #[test]
    fn a_scheduled_run_shows_both_latencies_and_unsent_requests() {
        let mut outcome = outcome(true);
        outcome.totals.add_unsent(7);
        outcome.totals.cut_off();
        outcome
            .totals
            .record_failure(&"cannot connect to a:80: Connection refused");
        insta::assert_snapshot!(summary(&outcome));
    }

    #[test]
    fn a_run_without_a_response_says_so_instead_of_printing_numbers() {
        let mut totals = Totals::new(false);
        for _ in 0..3 {
            totals.record_failure(&"cannot connect to a:80: Connection refused");
        }
        insta::assert_snapshot!(summary(&Outcome {
            totals,
            elapsed: Duration::from_secs(1)
        }));
    }

    #[test]
    fn every_response_is_in_one_row_of_the_histogram() {
        let outcome = outcome(false);
        let rows = histogram(outcome.totals.latency());
        assert_eq!(rows.len(), 11);
        assert_eq!(rows.iter().map(|row| row.1).sum::<u64>(), 200);
        assert_eq!(rows[0].1, 1);
    }
}
