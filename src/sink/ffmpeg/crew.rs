//! The threads that an encoder starts for itself: what they are called, and the CPU time they take.

#[cfg(target_os = "linux")]
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The threads of one encoder. It stays empty where the system does not list threads.
pub(super) struct Crew {
    /// What they are all called.
    name: String,
    /// Their folders under `/proc`.
    threads: Vec<PathBuf>,
}

impl Crew {
    /// Runs `open`. The threads that it starts are named `encoder-N`.
    pub(super) fn gather<T>(open: impl FnOnce() -> T) -> (T, Self) {
        static ENCODERS: AtomicUsize = AtomicUsize::new(0);
        let number = ENCODERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("encoder-{number}");
        let opened = as_thread_named(&name, open);
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
        let threads = tasks
            .flatten()
            .map(|task| task.path())
            .filter(|task| cpu_nanos(&name, task).is_some())
            .collect();
        (opened, Self { name, threads })
    }

    /// CPU time of those that still live, in milliseconds.
    pub(super) fn cpu_ms(&self) -> f64 {
        let times = self.threads.iter();
        let nanos: u64 = times
            .filter_map(|thread| cpu_nanos(&self.name, thread))
            .sum();
        nanos as f64 / 1e6
    }
}

/// Runs `work` while this thread bears another name, which the threads that it starts inherit.
#[cfg(target_os = "linux")]
fn as_thread_named<T>(new_name: &str, work: impl FnOnce() -> T) -> T {
    use rustix::thread::{name, set_name};

    let own = name();
    // Names are for those who look on: a run does not fail for want of one.
    if let Ok(new_name) = CString::new(new_name) {
        let _ = set_name(&new_name);
    }
    let result = work();
    if let Ok(own) = own {
        let _ = set_name(&own);
    }
    result
}

#[cfg(not(target_os = "linux"))]
fn as_thread_named<T>(_: &str, work: impl FnOnce() -> T) -> T {
    work()
}

/// CPU time of a thread in nanoseconds, by its folder under `/proc`, if it is called so (numbers of ended threads are given out again).
fn cpu_nanos(name: &str, thread: &Path) -> Option<u64> {
    let found = fs::read_to_string(thread.join("comm")).ok()?;
    let times = fs::read_to_string(thread.join("schedstat")).ok()?;
    let on_cpu = times.split_whitespace().next()?.parse().ok()?;
    (found.trim_end() == name).then_some(on_cpu)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Instant;

    use rustix::thread::name;

    use super::*;

    #[test]
    fn threads_started_on_the_way_are_counted_and_no_others() {
        let own = name().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let (pool, crew) = Crew::gather(|| {
            // Not through std, which would give it a name of its own.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            let pool = pool.unwrap();
            pool.spawn(move || while !seen.load(Ordering::Relaxed) {});
            pool
        });
        assert_eq!(name().unwrap(), own);
        assert_eq!(crew.threads.len(), 1);
        let start = Instant::now();
        while crew.cpu_ms() < 50.0 {
            assert!(start.elapsed().as_secs() < 60, "no time is counted");
            thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
        drop(pool);
        let (_, alone) = Crew::gather(|| ());
        assert_eq!((alone.threads.len(), alone.cpu_ms()), (0, 0.0));
    }
}
