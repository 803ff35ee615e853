//! Figures from `/proc` about the machine and its processes.

use std::time::Duration;

/// The unit of times in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU times of the whole machine, in seconds summed over its cores.
#[derive(Clone, Copy)]
pub(crate) struct MachineTime {
    total: f64,
    busy: f64,
    stolen: f64,
}

/// How the machine spent a span of time.
pub(crate) struct Spent {
    /// Seconds in which a core ran something.
    pub(crate) busy: f64,
    /// Share of all CPU time that the hypervisor gave to others.
    pub(crate) stolen: f64,
}

impl MachineTime {
    pub(crate) fn now() -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let times: Vec<f64> = line
            .split_whitespace()
            .skip(1)
            .flat_map(str::parse::<f64>)
            .map(|ticks| ticks / TICKS_PER_SECOND)
            .collect();
        // user nice system idle iowait irq softirq steal; guest times are part of user.
        let [user, nice, system, idle, waiting, irq, softirq, stolen, ..] = times[..] else {
            anyhow::bail!("/proc/stat has an unexpected format: {line}");
        };
        let busy = user + nice + system + irq + softirq;
        Ok(Self {
            total: busy + idle + waiting + stolen,
            busy,
            stolen,
        })
    }

    pub(crate) fn since(self, before: Self) -> Spent {
        let total = (self.total - before.total).max(1.0 / TICKS_PER_SECOND);
        Spent {
            busy: self.busy - before.busy,
            stolen: (self.stolen - before.stolen) / total,
        }
    }
}

/// CPU time in the program's own code and in the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) own: Duration,
    pub(crate) kernel: Duration,
}

impl Cpu {
    pub(crate) fn total(self) -> Duration {
        self.own + self.kernel
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            own: self.own.saturating_sub(before.own),
            kernel: self.kernel.saturating_sub(before.kernel),
        }
    }
}

/// CPU time of a running process and its threads; with `self` as its id, of this one.
pub(crate) fn process_cpu(id: &str) -> anyhow::Result<Cpu> {
    // Fields 14 and 15, of which the first after the name is number 3.
    cpu_fields(id, 11)
}

/// CPU time of all children that have ended.
pub(crate) fn children_cpu() -> anyhow::Result<Cpu> {
    cpu_fields("self", 13)
}

fn cpu_fields(id: &str, first: usize) -> anyhow::Result<Cpu> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let times: Vec<Duration> = fields
        .split_whitespace()
        .skip(first)
        .take(2)
        .flat_map(str::parse::<f64>)
        .map(|ticks| Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
        .collect();
    let [own, kernel] = times[..] else {
        anyhow::bail!("/proc/{id}/stat has an unexpected format: {stat}");
    };
    Ok(Cpu { own, kernel })
}

/// Peak memory of a running process so far, in bytes.
pub(crate) fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Processor, number of cores and kernel, for the line above the tables.
pub(crate) fn describe() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} x {}, Linux {}",
        std::thread::available_parallelism().map_or(1, usize::from),
        model.map_or("processor of unknown make", |(_, model)| model.trim()),
        kernel.trim(),
    )
}

/// The median; `None` without values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[n / 2]),
        n => Some(f64::midpoint(values[n / 2 - 1], values[n / 2])),
    }
}
