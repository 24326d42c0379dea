//! CPU and waiting time per stage.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::pipeline::report::StageTime;

/// CPU time used so far by the calling thread, in milliseconds.
pub(super) fn thread_cpu_ms() -> f64 {
    milliseconds(ClockId::ThreadCPUTime)
}

/// CPU time used so far by all threads of this process, in seconds.
pub(crate) fn process_cpu_secs() -> f64 {
    milliseconds(ClockId::ProcessCPUTime) / 1e3
}

fn milliseconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The largest resident memory of this process so far in MiB, 0 where the system does not tell.
pub(crate) fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<f64>()
                .ok()
        })
        .map_or(0.0, |kilobytes| kilobytes / 1024.0)
}

impl StageTime {
    /// Runs `work` and adds the CPU time it took on this thread.
    pub(super) fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = thread_cpu_ms();
        let result = work();
        self.cpu_ms += thread_cpu_ms() - start;
        result
    }

    /// Runs the network. Where a device does it (`is_remote`), what passes beside the CPU time on this thread was waited for.
    pub(super) fn measure_network<T>(&mut self, is_remote: bool, work: impl FnOnce() -> T) -> T {
        if !is_remote {
            return self.measure(work);
        }
        let (start, cpu_before) = (Instant::now(), self.cpu_ms);
        let result = self.measure(work);
        let passed = start.elapsed().as_secs_f64() * 1e3;
        self.wait_ms += (passed - (self.cpu_ms - cpu_before)).max(0.0);
        result
    }

    /// Runs `wait`, which blocks on a neighbour, and adds the time that passed.
    pub(super) fn wait<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = wait();
        self.wait_ms += start.elapsed().as_secs_f64() * 1e3;
        result
    }
}
