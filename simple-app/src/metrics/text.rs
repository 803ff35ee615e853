//! Text format of metrics, exactly as the Python client prints it.
//!
//! The encoder of the `prometheus` crate differs in ways that readers of the text notice: it prints `0` for `0.0`, the sum
//! before the count, and large numbers without exponent.

use std::io::Write;

use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, Result, TEXT_FORMAT};

/// Encodes counters, gauges and summaries without labels; the app has no others.
pub struct PythonTextEncoder;

impl Encoder for PythonTextEncoder {
    fn encode<W: Write>(&self, families: &[MetricFamily], out: &mut W) -> Result<()> {
        for family in families {
            let name = family.name();
            let kind = match family.get_field_type() {
                MetricType::COUNTER => "counter",
                MetricType::GAUGE => "gauge",
                MetricType::SUMMARY => "summary",
                other => {
                    let message = format!("metric {name}: {other:?} is not encoded here");
                    return Err(prometheus::Error::Msg(message));
                }
            };
            writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", family.help())?;
            for metric in family.get_metric() {
                match family.get_field_type() {
                    MetricType::SUMMARY => {
                        let summary = metric.get_summary();
                        // Counts are far below 2^53, from which on a float would round.
                        let count = python_float(summary.sample_count() as f64);
                        let sum = python_float(summary.sample_sum());
                        writeln!(out, "{name}_count {count}\n{name}_sum {sum}")?;
                    }
                    MetricType::COUNTER => {
                        writeln!(
                            out,
                            "{name} {}",
                            python_float(metric.get_counter().get_value())
                        )?;
                    }
                    _ => writeln!(
                        out,
                        "{name} {}",
                        python_float(metric.get_gauge().get_value())
                    )?,
                }
            }
        }
        Ok(())
    }

    fn format_type(&self) -> &str {
        TEXT_FORMAT
    }
}

/// A number as the Python client prints it: the shortest digits that parse to the same number, and from a million up an exponent
/// of at least two digits (`1.7954008e+09`).
fn python_float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .into();
    }
    let shortest = format!("{value:?}");
    if let Some((mantissa, exponent)) = shortest.split_once('e') {
        // Rust writes 1e-6 and 1.5e16, Python 1e-06 and 1.5e+16.
        let mantissa = mantissa.strip_suffix(".0").unwrap_or(mantissa);
        return match exponent.strip_prefix('-') {
            Some(digits) => format!("{mantissa}e-{digits:0>2}"),
            None => format!("{mantissa}e+{exponent:0>2}"),
        };
    }
    match shortest.find('.') {
        Some(dot) if value > 0.0 && dot > 6 => {
            let digits = format!(
                "{}.{}{}",
                &shortest[..1],
                &shortest[1..dot],
                &shortest[dot + 1..]
            );
            format!("{}e+{:02}", digits.trim_end_matches(['0', '.']), dot - 1)
        }
        _ => shortest,
    }
}

/// A family with one metric.
pub(super) fn family(name: &str, help: &str, kind: MetricType, metric: Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

/// A gauge family with one value.
pub(super) fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    family(name, help, MetricType::GAUGE, metric)
}

/// A counter family with one value.
pub(super) fn counter(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    family(name, help, MetricType::COUNTER, metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_by_the_python_client() {
        // The right column is the output of prometheus_client.utils.floatToGoString.
        for (value, text) in [
            (0.0, "0.0"),
            (2.0, "2.0"),
            (0.1, "0.1"),
            (0.060000000000000005, "0.060000000000000005"),
            (1.6719999393899343e-06, "1.6719999393899343e-06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123456.0, "123456.0"),
            (1234567.0, "1.234567e+06"),
            (1000000.0, "1e+06"),
            (23248896.0, "2.3248896e+07"),
            (1795400816.0039744, "1.7954008160039744e+09"),
            (12345678901.5, "1.23456789015e+10"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (-1234567.5, "-1234567.5"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(python_float(value), text, "{value:?}");
        }
    }
}
