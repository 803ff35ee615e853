//! Takes samples in rounds and leaves out disturbed ones.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::Settings;
use crate::system::{self, MachineTime, median};
use crate::target::Target;

/// Attempts for one sample, while there is time.
const TRIES: usize = 4;

/// Judges samples by the load on the machine meanwhile, never by their result.
pub(crate) struct Sampler {
    /// Time left for repeating samples.
    patience: Cell<Duration>,
    most_stolen: f64,
    most_others: f64,
    taken: Cell<u32>,
    left_out: Cell<u32>,
}

impl Sampler {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (most_stolen, most_others) = if settings.keep_disturbed {
            (f64::INFINITY, f64::INFINITY)
        } else {
            (settings.max_steal / 100.0, settings.max_others / 100.0)
        };
        Self {
            patience: Cell::new(Duration::from_secs(settings.patience)),
            most_stolen,
            most_others,
            taken: Cell::new(0),
            left_out: Cell::new(0),
        }
    }

    /// One undisturbed sample against `target`; `None` after several attempts.
    pub(crate) fn sample<T>(
        &self,
        target: &Target,
        mut take: impl FnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let server = target.id().to_string();
        // CPU time beyond this belongs to other processes.
        let ours = || -> anyhow::Result<Duration> {
            let living =
                system::process_cpu("self")?.total() + system::process_cpu(&server)?.total();
            Ok(living + system::children_cpu()?.total())
        };
        for attempt in 0..TRIES {
            if attempt > 0 && self.patience.get().is_zero() {
                break;
            }
            let (started, machine, own) = (Instant::now(), MachineTime::now()?, ours()?);
            let sample = take()?;
            let spent = MachineTime::now()?.since(machine);
            let others = spent.busy - (ours()? - own).as_secs_f64();
            let others = others / started.elapsed().as_secs_f64();
            self.taken.set(self.taken.get() + 1);
            if attempt > 0 {
                let left = self.patience.get().saturating_sub(started.elapsed());
                self.patience.set(left);
            }
            if spent.stolen <= self.most_stolen && others <= self.most_others {
                return Ok(Some(sample));
            }
            self.left_out.set(self.left_out.get() + 1);
            eprintln!(
                "  left out: {:.0} % of the CPU stolen, {:.2} cores used by others",
                spent.stolen * 100.0,
                others.max(0.0)
            );
        }
        Ok(None)
    }

    /// A sentence with the number of samples left out.
    pub(crate) fn summary(&self) -> String {
        if self.most_stolen.is_infinite() {
            return "**Disturbed samples were kept, so only ratios are meaningful.**".to_owned();
        }
        format!(
            "{} of {} samples were left out because the hypervisor took more than {:.0} % of the CPU or other \
             processes took more than {:.0} % of a core.",
            self.left_out.get(),
            self.taken.get(),
            self.most_stolen * 100.0,
            self.most_others * 100.0,
        )
    }
}

/// The samples of one tool, one for each round.
pub(crate) type Rounds<T> = Vec<Option<T>>;

/// The median of a figure over the rounds that have a sample.
pub(crate) fn middle<T>(rounds: &Rounds<T>, figure: impl Fn(&T) -> f64) -> Option<f64> {
    median(rounds.iter().flatten().map(figure))
}

/// One tool's figure divided by another's: the median of the ratios within rounds, because a slow phase of the machine slows
/// both tools. Without a round that has both samples, it is the ratio of the medians.
pub(crate) fn ratio<T>(
    rounds: &Rounds<T>,
    others: &Rounds<T>,
    figure: impl Fn(&T) -> f64,
) -> Option<f64> {
    let pairs = rounds.iter().zip(others);
    let paired =
        pairs.filter_map(|(one, other)| Some(figure(one.as_ref()?) / figure(other.as_ref()?)));
    median(paired).or_else(|| Some(middle(rounds, &figure)? / middle(others, &figure)?))
}
