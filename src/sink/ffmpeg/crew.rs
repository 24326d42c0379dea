//! The threads that an encoder starts for itself: what they are called, and the CPU time they take.

use std::collections::{HashMap, HashSet};
#[cfg(target_os = "linux")]
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What libaom calls its threads.
const AOM_NAME: &str = "aom enc worker";

/// The threads of one encoder. It stays empty where the system does not list threads.
pub(super) struct Crew {
    /// What those are called that start when the encoder is opened.
    name: String,
    /// Threads that were there before, by their folders under `/proc`.
    others: HashSet<PathBuf>,
    /// CPU time of the encoder's, as last noted, in nanoseconds.
    times: HashMap<PathBuf, u64>,
}

impl Crew {
    /// Runs `open`. The threads that it starts are named `encoder-N`.
    pub(super) fn gather<T>(open: impl FnOnce() -> T) -> (T, Self) {
        static ENCODERS: AtomicUsize = AtomicUsize::new(0);
        let number = ENCODERS.fetch_add(1, Ordering::Relaxed);
        let mut crew = Self {
            name: format!("encoder-{number}"),
            others: threads().collect(),
            times: HashMap::new(),
        };
        let opened = as_thread_named(&crew.name, open);
        crew.take_note();
        (opened, crew)
    }

    /// Takes note of the CPU time so far: that of a thread which has ended cannot be asked for. To be called by the thread that encodes.
    pub(super) fn take_note(&mut self) {
        let caller = PathBuf::from("/proc/thread-self");
        // Threads that start with the first frame (libvpx's) bear the name of the one that brought it.
        let names = [
            Some(self.name.clone()),
            name_of(&caller),
            Some(AOM_NAME.to_owned()),
        ];
        let caller = caller.canonicalize().ok();
        for thread in threads() {
            let is_ours = !self.others.contains(&thread)
                && caller.as_ref() != Some(&thread)
                && names.contains(&name_of(&thread));
            if let (true, Some(nanos)) = (is_ours, cpu_nanos(&thread)) {
                self.times.insert(thread, nanos);
            }
        }
    }

    /// CPU time of all of them, in milliseconds, those that have ended as last noted.
    pub(super) fn cpu_ms(&mut self) -> f64 {
        self.take_note();
        self.times.values().sum::<u64>() as f64 / 1e6
    }
}

/// The folders of this process' threads under `/proc`.
fn threads() -> impl Iterator<Item = PathBuf> {
    let process = Path::new("/proc/self").canonicalize().ok();
    let tasks = process.and_then(|process| fs::read_dir(process.join("task")).ok());
    let tasks = tasks.into_iter().flatten().flatten();
    tasks.map(|task| task.path())
}

fn name_of(thread: &Path) -> Option<String> {
    let name = fs::read_to_string(thread.join("comm")).ok()?;
    Some(name.trim_end().to_owned())
}

fn cpu_nanos(thread: &Path) -> Option<u64> {
    let times = fs::read_to_string(thread.join("schedstat")).ok()?;
    times.split_whitespace().next()?.parse().ok()
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::thread::name;

    use super::*;

    #[test]
    fn threads_started_on_the_way_are_counted_and_no_others() {
        let own = name().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        // Without names of their own, as those of libraries.
        let busy = || {
            let seen = Arc::clone(&is_over);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            let pool = pool.unwrap();
            pool.spawn(move || {
                let start = Instant::now();
                while !seen.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(60) {}
            });
            pool
        };
        let before = busy();
        let (during, mut crew) = Crew::gather(busy);
        assert_eq!(name().unwrap(), own);
        assert_eq!(crew.times.len(), 1);
        let start = Instant::now();
        while crew.cpu_ms() < 50.0 {
            assert!(start.elapsed().as_secs() < 60, "no time is counted");
            thread::yield_now();
        }
        let after = busy();
        crew.take_note();
        assert_eq!(crew.times.len(), 2);
        is_over.store(true, Ordering::Relaxed);
        drop((before, during, after));
        let are_there = |crew: &Crew| crew.times.keys().any(|thread| thread.exists());
        while are_there(&crew) {
            thread::yield_now();
        }
        assert!(crew.cpu_ms() >= 50.0, "an ended thread is forgotten");
        let (_, mut alone) = Crew::gather(|| ());
        assert_eq!((alone.times.len(), alone.cpu_ms()), (0, 0.0));
    }
}
