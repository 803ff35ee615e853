//! What `/proc` tells about the machine and about ended children.

use std::time::Duration;

/// The unit of times in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU times of the whole machine.
#[derive(Clone, Copy)]
pub(crate) struct MachineTime {
    total: f64,
    stolen: f64,
}

impl MachineTime {
    pub(crate) fn now() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let times: Vec<f64> = line
            .split_whitespace()
            .skip(1)
            .flat_map(str::parse)
            .collect();
        // user nice system idle iowait irq softirq steal; guest times are part of user.
        let total = times.iter().take(8).sum();
        Ok(Self {
            total,
            stolen: times.get(7).copied().unwrap_or(0.0),
        })
    }

    /// Share of the machine that the hypervisor gave to others since.
    pub(crate) fn stolen_since(self) -> anyhow::Result<f64> {
        let now = Self::now()?;
        Ok((now.stolen - self.stolen) / (now.total - self.total).max(1.0))
    }
}

/// CPU time of all children that have ended.
pub(crate) fn children_cpu() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    // Fields 16 and 17, of which the first after the name is number 3.
    let ticks: f64 = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .flat_map(str::parse::<f64>)
        .sum();
    Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

/// Peak memory of a running process so far, in bytes.
pub(crate) fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The middle value; of an even number the mean of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}
