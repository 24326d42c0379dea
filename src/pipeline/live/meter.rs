//! How often and how late: rates and latencies of a live run, in bounded memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Over how long rates and current latencies are taken.
const WINDOW: Duration = Duration::from_secs(3);
/// Most values in a window: more come only from sources that nobody can watch.
const MOST_VALUES: usize = 1024;
/// Latencies of the whole run are counted in bins of a millisecond; longer ones share the last.
const BINS: usize = 10_000;

/// Counts events and tells their rate.
#[derive(Debug, Default)]
pub(super) struct Rate {
    pub(super) count: u64,
    recent: VecDeque<Instant>,
}

impl Rate {
    pub(super) fn tick(&mut self, at: Instant) {
        self.count += 1;
        if self.recent.len() == MOST_VALUES {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
    }

    /// Events per second lately.
    pub(super) fn per_second(&mut self, now: Instant) -> f64 {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > WINDOW;
        while self.recent.front().is_some_and(is_old) {
            self.recent.pop_front();
        }
        let (Some(first), Some(last)) = (self.recent.front(), self.recent.back()) else {
            return 0.0;
        };
        let gaps = self.recent.len() as f64 - 1.0;
        let span = last.saturating_duration_since(*first).as_secs_f64();
        let open_gap = now.saturating_duration_since(*last).as_secs_f64();
        if gaps < 1.0 {
            return 1.0 / WINDOW.as_secs_f64();
        }
        // A gap that is still open counts once it is longer than the others.
        if open_gap > span / gaps {
            (gaps + 1.0) / (span + open_gap)
        } else {
            gaps / span.max(1e-3)
        }
    }
}

/// Half and nineteen of twenty of all latencies are at most this, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
}

/// Latencies: lately, and over the whole run.
#[derive(Debug, Default)]
pub(super) struct Latency {
    recent: VecDeque<(Instant, f64)>,
    bins: Vec<u64>,
    count: u64,
}

impl Latency {
    pub(super) fn add(&mut self, now: Instant, latency: Duration) {
        let millis = latency.as_secs_f64() * 1e3;
        if self.recent.len() == MOST_VALUES {
            self.recent.pop_front();
        }
        self.recent.push_back((now, millis));
        self.bins.resize(BINS, 0);
        self.bins[(millis as usize).min(BINS - 1)] += 1;
        self.count += 1;
    }

    /// Of the last seconds.
    pub(super) fn recent(&mut self, now: Instant) -> Option<Percentiles> {
        let is_old = |(at, _): &(Instant, f64)| now.saturating_duration_since(*at) > WINDOW;
        while self.recent.front().is_some_and(is_old) {
            self.recent.pop_front();
        }
        let mut values: Vec<f64> = self.recent.iter().map(|(_, millis)| *millis).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            values
                .get(rank(values.len() as u64, share) as usize)
                .copied()
        };
        Some(Percentiles {
            p50: at(0.5)?,
            p95: at(0.95)?,
        })
    }

    /// Of the whole run, to the millisecond.
    pub(super) fn overall(&self) -> Option<Percentiles> {
        let at = |share: f64| {
            let wanted = rank(self.count, share);
            let mut seen = 0;
            let bin = self.bins.iter().position(|count| {
                seen += count;
                seen > wanted
            });
            bin.map(|bin| bin as f64 + 0.5)
        };
        Some(Percentiles {
            p50: at(0.5)?,
            p95: at(0.95)?,
        })
    }
}

/// Index of the value that `share` of `count` sorted values do not exceed.
fn rank(count: u64, share: f64) -> u64 {
    ((count as f64 * share).ceil() as u64).saturating_sub(1)
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// Frames that came.
    pub(super) captured: Rate,
    /// Frames that were shown.
    pub(super) shown: Rate,
    /// Explanations that were finished.
    pub(super) explained: Rate,
    /// Frames that came while all workers were busy, up to the last one that a worker took.
    pub(super) dropped: u64,
    /// Frames that never were shown, because drawing was busy.
    pub(super) unshown: u64,
    /// Frames that were shown but not recorded, because the encoder was busy.
    pub(super) unrecorded: u64,
    /// How often there was no signal.
    pub(super) losses: u64,
    /// From capture to the viewer's eyes.
    pub(super) picture: Latency,
    /// The same of the frames whose maps were shown: from capture to the first picture with the map.
    pub(super) map: Latency,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_forgets_and_an_open_gap_lowers_it() {
        let start = Instant::now();
        let mut rate = Rate::default();
        for index in 0..30 {
            rate.tick(start + Duration::from_millis(100 * index));
        }
        let soon = rate.per_second(start + Duration::from_millis(3000));
        assert!((soon - 10.0).abs() < 0.5, "{soon}");
        let later = rate.per_second(start + Duration::from_millis(4900));
        assert!(later < 5.0, "{later}");
        assert_eq!(rate.per_second(start + Duration::from_secs(9)), 0.0);
        rate.tick(start + Duration::from_secs(20));
        let one = rate.per_second(start + Duration::from_secs(20));
        assert!(one < 1.0, "{one}");
        assert_eq!(rate.count, 31);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let now = Instant::now();
        let mut latency = Latency::default();
        assert!(latency.recent(now).is_none() && latency.overall().is_none());
        for millis in (1..=100).rev() {
            latency.add(now, Duration::from_millis(millis));
        }
        let recent = latency.recent(now).unwrap();
        assert_eq!((recent.p50, recent.p95), (50.0, 95.0));
        let overall = latency.overall().unwrap();
        assert_eq!((overall.p50, overall.p95), (50.5, 95.5));
        assert!(latency.recent(now + WINDOW * 2).is_none());
        assert!(latency.overall().is_some());
    }
}
