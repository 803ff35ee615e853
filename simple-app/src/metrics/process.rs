//! The process metrics of the Python client, read from `/proc`. On systems other than Linux there are none.

use std::collections::HashMap;
use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::text::{counter, gauge};

/// The unit of times in `/proc`, which Linux fixes at 100 per second for programs.
const TICKS_PER_SECOND: f64 = 100.0;

const VIRTUAL: (&str, &str) = (
    "process_virtual_memory_bytes",
    "Virtual memory size in bytes.",
);
const RESIDENT: (&str, &str) = (
    "process_resident_memory_bytes",
    "Resident memory size in bytes.",
);
const START: (&str, &str) = (
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
);
const CPU: (&str, &str) = (
    "process_cpu_seconds_total",
    "Total user and system CPU time spent in seconds.",
);
const OPEN: (&str, &str) = ("process_open_fds", "Number of open file descriptors.");
const MOST: (&str, &str) = (
    "process_max_fds",
    "Maximum number of open file descriptors.",
);

/// Reads `/proc` at each scrape. A metric that cannot be read is left out.
pub(super) struct ProcessCollector {
    descs: Vec<Desc>,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        let descs = [VIRTUAL, RESIDENT, START, CPU, OPEN, MOST]
            .into_iter()
            .map(|(name, help)| Desc::new(name.into(), help.into(), Vec::new(), HashMap::new()))
            .collect::<Result<_, _>>()?;
        Ok(Self { descs })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let gauges = [
            (VIRTUAL, kibibytes(&status, "VmSize:")),
            (RESIDENT, kibibytes(&status, "VmRSS:")),
            (START, start_time(&stat)),
            (
                OPEN,
                fs::read_dir("/proc/self/fd")
                    .ok()
                    .map(|fds| fds.count() as f64),
            ),
            (MOST, descriptor_limit()),
        ];
        let mut families: Vec<_> = gauges
            .into_iter()
            .filter_map(|((name, help), value)| Some(gauge(name, help, value?)))
            .collect();
        families.extend(cpu_seconds(&stat).map(|value| counter(CPU.0, CPU.1, value)));
        families
    }
}

/// The value of a line such as `VmRSS:     5032 kB`, in bytes.
fn kibibytes(status: &str, key: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value
        .trim()
        .strip_suffix(" kB")?
        .parse::<f64>()
        .ok()
        .map(|kib| kib * 1024.0)
}

/// Field `number` of proc_pid_stat(5), counted from 1. The name in field 2 may contain spaces and parentheses.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_time(stat: &str) -> Option<f64> {
    let system = fs::read_to_string("/proc/stat").ok()?;
    let booted = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    Some(booted.trim().parse::<f64>().ok()? + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn descriptor_limit() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_stat_are_found_after_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4 1 2 3 4 250 50 0 0 20 0 1 0 4242 1000 20";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(stat_field(stat, 22), Some(4242.0));
        assert_eq!(stat_field("", 22), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(
            kibibytes("VmPeak:\t9 kB\nVmRSS:\t    12 kB\n", "VmRSS:"),
            Some(12288.0)
        );
        assert_eq!(kibibytes("VmRSS:\t12\n", "VmRSS:"), None);
    }
}
