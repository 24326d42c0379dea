//! The server itself: one thread, a bounded number of connections, and an end that waits for nobody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

use super::access::Gate;
use super::routes::{self, Shared};
use super::socket::Socket;
use super::{Host, HttpOptions};
use crate::error::{Error, ErrorKind, Result};

/// A viewer that takes nothing for this long has gone.
const VIEWER_PATIENCE: Duration = Duration::from_secs(10);

/// A request arrives at once or not at all; connections that ask for nothing are closed after it too.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// Connections beside the streams: the page, its polls, and whoever is told that there is no place.
const SPARE_CONNECTIONS: usize = 32;

/// Bounds the head of a request, and what is buffered of a picture beyond the kernel's buffer to one picture.
const BUFFER_BYTES: usize = 16 * 1024;

/// When the system is out of file descriptors: others may give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Snapshots are made one after another: each takes a core for a while.
const SNAPSHOT_THREADS: usize = 1;

/// The running server; ends with its value.
pub(crate) struct HttpServer {
    address: SocketAddr,
    token: Option<String>,
    shared: Arc<Shared>,
    /// Dropping it ends the thread.
    running: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens and answers from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if the address cannot be listened on or the thread cannot be started, [`ErrorKind::InvalidArgument`] if the token has
    /// other characters than it may.
    pub(crate) fn start(options: HttpOptions, host: Arc<dyn Host>) -> Result<Self> {
        Self::start_with_patience(options, host, VIEWER_PATIENCE)
    }

    /// Does that with another patience: tests cannot wait as long as viewers may.
    pub(super) fn start_with_patience(
        options: HttpOptions,
        host: Arc<dyn Host>,
        patience: Duration,
    ) -> Result<Self> {
        let gate = Gate::new(options.token.as_deref())?;
        let shared = Arc::new(Shared::new(host, gate, options.most_viewers));
        let most_connections = options.most_viewers.saturating_add(SPARE_CONNECTIONS);
        let (runtime, listener) = listen(options.listen).map_err(|error| {
            let message = format!("cannot listen on {}", options.listen);
            Error::caused_by(ErrorKind::Output, message, error)
        })?;
        let cannot_start =
            |error| Error::caused_by(ErrorKind::Output, "cannot start the HTTP server", error);
        let address = listener.local_addr().map_err(cannot_start)?;
        let (running, stopped) = oneshot::channel::<Infallible>();
        let for_thread = Arc::clone(&shared);
        let serve = move || {
            runtime.spawn(accept(listener, for_thread, most_connections, patience));
            // Nothing is ever sent: this ends when the sender is dropped.
            let _ = runtime.block_on(stopped);
            // Ends every connection wherever it is; a snapshot that is being made is left to itself.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(serve)
            .map_err(cannot_start)?;
        Ok(Self {
            address,
            token: options.token,
            shared,
            running: Some(running),
            thread: Some(thread),
        })
    }

    /// The address listened on, with the real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser. If all addresses are listened on, it names the one by which others most likely reach this machine.
    pub(crate) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(outward_address().unwrap_or(Ipv4Addr::LOCALHOST.into()));
        }
        let token = self.token.as_ref();
        let query = token.map_or_else(String::new, |token| format!("?token={token}"));
        format!("http://{address}/{query}")
    }

    /// How many are watching now. Pictures need to be encoded for them only.
    pub(crate) fn viewers(&self) -> usize {
        self.shared.places.count()
    }

    /// Takes the picture away: who comes next waits for a new one.
    pub(crate) fn clear(&self) {
        self.shared.pictures.send_replace(None);
    }

    /// Replaces the picture that viewers see. Never waits for them.
    pub(crate) fn publish(&self, jpeg: Bytes) {
        self.shared.pictures.send_replace(Some(jpeg));
    }
}

/// Ends all connections and the thread, whatever viewers do. Waits only for a [`Host::status`] or [`Host::control`] that is being answered: hold no lock
/// that these need.
impl Drop for HttpServer {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported, and nothing depends on the thread any more.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is nobody's business.
        f.debug_struct("HttpServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A listening socket and the runtime it belongs to.
fn listen(address: SocketAddr) -> io::Result<(Runtime, TcpListener)> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_name("http-snapshot")
        .max_blocking_threads(SNAPSHOT_THREADS)
        .build()?;
    let guard = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    drop(guard);
    Ok((runtime, listener))
}

/// This machine's address on the way to others. Nothing is sent: connecting such a socket only looks up the way.
fn outward_address() -> Option<IpAddr> {
    /// An address of nobody (RFC 5737).
    const NOBODY: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(NOBODY).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Takes connections for ever.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    most_connections: usize,
    patience: Duration,
) {
    let places = Arc::new(Semaphore::new(most_connections.min(Semaphore::MAX_PERMITS)));
    let shares = Arc::new(Shares::new(most_connections / 2));
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // One too many is closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let Some(share) = Shares::take(&shares, peer.ip()) else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            serve(stream, shared, patience).await;
            drop((place, share));
        });
    }
}

/// How many connections each machine has: a stranger alone cannot take them all.
struct Shares {
    most: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Shares {
    fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            taken: Mutex::default(),
        }
    }

    /// One more connection of this machine, until the result is dropped; none if it has its share. Our own machine may have all.
    fn take(shares: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let mut taken = shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= shares.most && !address.to_canonical().is_loopback() {
            return None;
        }
        *count += 1;
        let shares = Arc::clone(shares);
        Some(Share { shares, address })
    }
}

/// One of a machine's connections.
struct Share {
    shares: Arc<Shares>,
    address: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = self.shares.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// Answers what comes over one connection, until it ends or breaks.
async fn serve(stream: TcpStream, shared: Arc<Shared>, patience: Duration) {
    let Ok(socket) = Socket::new(stream, patience) else {
        return;
    };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(routes::answer(request, &shared).await) }
    });
    // A broken connection concerns nobody but its viewer.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_PATIENCE)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

#[cfg(test)]
mod tests;
