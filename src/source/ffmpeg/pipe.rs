//! Reading from what may stall: pipes, terminals, devices.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use crate::pipeline::CancelToken;

/// How long a read waits before it looks whether it is still wanted.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// A pipe whose reads end soon after `cancel` is set, even if nobody writes to it any more.
pub(super) struct Pipe {
    file: File,
    /// Set when a read finds nothing and has to wait.
    starved: Arc<AtomicBool>,
    cancel: CancelToken,
}

impl Pipe {
    pub(super) fn new(file: File, cancel: &CancelToken) -> Self {
        Self {
            file,
            starved: Arc::default(),
            cancel: cancel.clone(),
        }
    }

    /// Set whenever the writer is not ahead of the reader.
    pub(super) fn starved(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.starved)
    }

    /// Opens a path for reading without waiting for a writer, which a named pipe may not have yet.
    pub(super) fn open_file(path: &Path) -> io::Result<File> {
        File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)
    }
}

impl Read for Pipe {
    /// Ends like an empty file once cancelled.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut patience = Timespec::default();
        while !self.cancel.is_cancelled() {
            let mut waiting = [PollFd::new(&self.file, PollFlags::IN)];
            let polled = poll(&mut waiting, Some(&patience));
            if polled == Ok(0) {
                self.starved.store(true, Ordering::Relaxed);
            }
            patience = PATIENCE;
            match polled {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => match self.file.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                },
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    fn pipe(cancel: &CancelToken) -> (Pipe, File) {
        let (reader, writer) = io::pipe().unwrap();
        let file = |end: OwnedFd| File::from(end);
        (Pipe::new(file(reader.into()), cancel), file(writer.into()))
    }

    #[test]
    fn bytes_come_through_and_a_closed_pipe_ends() {
        let (mut reader, mut writer) = pipe(&CancelToken::new());
        writer.write_all(b"abc").unwrap();
        drop(writer);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abc");
    }

    #[test]
    fn a_stalled_pipe_ends_when_it_is_cancelled() {
        let cancel = CancelToken::new();
        let (mut reader, _writer) = pipe(&cancel);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| reader.read(&mut [0; 8]).unwrap());
            cancel.cancel();
            assert_eq!(reading.join().unwrap(), 0);
        });
    }
}
