//! Whether a small program is run by all threads or by the caller alone: whichever is faster, as measured.
//!
//! Regions of a few microseconds gain little from a second core, and lose where cores are far apart (another cache, another
//! socket; virtual machines are moved about) or busy with something else. The results are the same either way, so a program
//! tries the other way now and then, for a few runs, and stays with it if that was faster. Programs that run for longer
//! always have all threads.

use std::time::Duration;

/// From this time of a run on, all threads are better anyhow.
const LONG: Duration = Duration::from_micros(500);
/// Runs of a trial; the fastest counts, so that waking a thread and moving data to another cache do not.
const TRIAL: u32 = 6;
/// Runs before the first trial and after a successful one. Every trial that fails doubles the distance to the next,
const NEAR: u32 = 64;
/// up to this.
const FAR: u32 = 4096;
/// The other way has to be faster by this much: a twentieth.
const GAIN: u32 = 20;

/// How one program has fared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The way it runs now, trials included.
    alone: bool,
    trial: bool,
    /// Runs left until the way changes.
    left: u32,
    /// Runs from trial to trial.
    distance: u32,
    /// The fastest of the last runs before the trial, and of the trial.
    usual: Duration,
    other: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let never = Duration::MAX;
        Pace { alone: false, trial: false, left: NEAR, distance: NEAR, usual: never, other: never }
    }
}

impl Pace {
    /// Is the next run for the caller alone?
    pub fn alone(&self) -> bool {
        self.alone
    }

    /// Takes note of how long a run took.
    pub fn took(&mut self, time: Duration) {
        if self.trial {
            self.other = self.other.min(time);
        } else if time > LONG && !self.alone {
            *self = Pace::default();
            return;
        } else if self.left <= TRIAL {
            self.usual = self.usual.min(time);
        }
        self.left -= 1;
        if self.left > 0 {
            return;
        }
        if !self.trial {
            self.trial = true;
            self.alone = !self.alone;
            self.left = TRIAL;
            return;
        }
        self.trial = false;
        if self.other < self.usual - self.usual / GAIN {
            self.distance = NEAR;
        } else {
            self.alone = !self.alone;
            self.distance = (self.distance * 2).min(FAR);
        }
        self.left = self.distance;
        (self.usual, self.other) = (Duration::MAX, Duration::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs that take `together` or `alone` microseconds; how many were run alone.
    fn run(pace: &mut Pace, runs: u32, together: u64, alone: u64) -> u32 {
        (0..runs)
            .map(|_| {
                let by_one = pace.alone();
                pace.took(Duration::from_micros(if by_one { alone } else { together }));
                u32::from(by_one)
            })
            .sum()
    }

    #[test]
    fn finds_the_faster_way_and_changes_with_the_machine() {
        let mut pace = Pace::default();
        let alone = run(&mut pace, 20_000, 30, 40);
        assert!(alone < 100, "{alone} of 20000 runs alone");
        let alone = run(&mut pace, 20_000, 60, 40);
        assert!(alone > 15_000, "{alone} of 20000 runs alone");
        let alone = run(&mut pace, 20_000, 30, 40);
        assert!(alone < 5_000, "{alone} of 20000 runs alone");
    }

    #[test]
    fn equal_ways_and_long_runs_stay_with_all_threads() {
        assert!(run(&mut Pace::default(), 20_000, 40, 40) < 100);
        assert_eq!(run(&mut Pace::default(), 1000, 600, 10), 0);
    }
}
