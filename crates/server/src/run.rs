//! Starts the parts in order and stops them in reverse.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use offhook_core::{Clock, Core, Dialects, MediaHandle, Signalling};
use sip::Input;
use store::{SealKey, Store};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Durability};
use crate::http::{self, Health};
use crate::media::{self, Media, MediaThread};
use crate::net::connections::Connections;
use crate::net::counters::Counters;
use crate::net::listen::{self, ListenError, SipListeners};
use crate::net::streams::{Inboxes, Streams};
use crate::net::tcp;
use crate::ready::{Addresses, ApiAddress, MediaAddresses, SipAddresses};
use crate::signalling;

/// Commands that may wait for the media thread.
const MEDIA_QUEUE: usize = 16_384;

/// For connections to close when the server ends.
const CLOSING: Duration = Duration::from_secs(6);

/// Legs that a call may have on average before a limit of legs is reached ahead of the limit of calls.
const LEGS: usize = 4;

/// Why a server cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listening address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The directory or the lock of the database.
    #[error("{path}: {source}")]
    Data {
        /// What could not be made or opened.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another server.
    #[error("another offhook uses the database {0}. Stop it, or choose another directory with `--data-dir`")]
    InUse(PathBuf),
    /// The database.
    #[error("the database {url}: {source}")]
    Store {
        /// Which.
        url: String,
        /// The cause.
        source: store::Error,
    },
    /// What the core needs to start.
    #[error("the core cannot start: {0}")]
    Core(#[from] offhook_core::Error),
    /// Threads, signals, descriptors.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
    /// A signalling thread ended by itself.
    #[error("a signalling thread ended; the log says why")]
    Thread,
}

/// A running server.
pub struct Server {
    /// The addresses in use.
    pub addresses: Addresses,
    /// What decides.
    pub core: Arc<Core>,
    health: Arc<Health>,
    data: Data,
    streams: Streams,
    signals: Signals,
    shards: Vec<JoinHandle<()>>,
    shards_stop: CancellationToken,
    media: MediaThread,
    drain: Duration,
}

impl Server {
    /// Starts everything; all listeners are ready when it returns.
    pub async fn start(config: &Config) -> Result<Self, RunError> {
        let signals = Signals::new()?;
        raise_descriptor_limit();
        warn_of_unreachable_media(config);
        let listeners = Listeners::bind(config)?;
        let addresses = listeners.addresses(config);
        let data = Data::open(config).await?;
        let (inboxes, receivers) = inboxes(config.shards());
        let (media_handle, media) = media::channel(MEDIA_QUEUE)?;
        let core = core(config, &listeners, &addresses, &data, inboxes.clone(), media_handle).await?;
        let media = start_media(config, &core, media)?;
        let streams = streams(config, &core, inboxes);
        let shards_stop = CancellationToken::new();
        let shards = start_shards(config, &listeners.sip, &streams, receivers, &shards_stop)?;
        let health = Arc::new(Health {
            addresses: addresses.clone(),
            core: core.clone(),
            streams: streams.clone(),
            draining: AtomicBool::new(false),
        });
        start_listeners(config, listeners, &streams, &health)?;
        let drain = Duration::from_secs(config.drain_seconds);
        Ok(Self { addresses, core, health, data, streams, signals, shards, shards_stop, media, drain })
    }

    /// Serves until SIGTERM or SIGINT, drains, and stops everything.
    pub async fn serve(mut self) -> Result<(), RunError> {
        let outcome = tokio::select! {
            () = self.signals.next() => Ok(()),
            () = self.shards_stop.cancelled() => Err(RunError::Thread),
        };
        if outcome.is_ok() {
            self.health.draining.store(true, Ordering::Relaxed);
            tracing::info!(calls = self.core.calls.live(), seconds = self.drain.as_secs(), "draining; a second signal ends it");
            tokio::select! {
                () = self.core.drain(self.drain) => {}
                () = self.signals.next() => tracing::warn!("a second signal: calls in progress are cut"),
            }
        }
        self.stop().await;
        outcome
    }

    async fn stop(self) {
        self.streams.stop.cancel();
        self.streams.tasks.close();
        if tokio::time::timeout(CLOSING, self.streams.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.streams.tasks.len(), "connections did not close in time");
        }
        self.shards_stop.cancel();
        let shards = self.shards;
        let media = self.media;
        let threads = tokio::task::spawn_blocking(move || {
            for shard in shards {
                // A thread that panicked is in the log already.
                let _ = shard.join();
            }
            media.stop();
        });
        let _ = threads.await;
        self.core.stop().await;
        self.data.store.close().await;
        tracing::info!("stopped");
    }
}

/// The open database, and the lock that keeps a second server from it.
pub struct Data {
    /// The database.
    pub store: Store,
    _lock: Option<std::fs::File>,
}

impl Data {
    /// Opens the database for this process alone.
    pub async fn open(config: &Config) -> Result<Self, RunError> {
        let lock = match database_file(config) {
            Some(file) => Some(lock(&file)?.ok_or(RunError::InUse(file))?),
            None => None,
        };
        Ok(Self { store: open_store(config).await?, _lock: lock })
    }

    /// Opens the database, whoever else has it; answers whether a server is running on it.
    pub async fn open_beside(config: &Config) -> Result<(Self, bool), RunError> {
        let lock = match database_file(config) {
            Some(file) => lock(&file)?,
            None => None,
        };
        let running = lock.is_none();
        Ok((Self { store: open_store(config).await?, _lock: lock }, running))
    }
}

/// The directory that everything is kept in.
pub fn data_directory(config: &Config) -> PathBuf {
    let file = database_file(config).unwrap_or_default();
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    directory.canonicalize().unwrap_or(directory.to_path_buf())
}

/// The database's file; none for a database in memory.
fn database_file(config: &Config) -> Option<PathBuf> {
    let path = config.store.url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = path.split('?').next().unwrap_or_default();
    (path != ":memory:").then(|| path.into())
}

/// Takes the lock beside the database; nothing when another process has it. The lock ends with the process.
fn lock(database: &Path) -> Result<Option<std::fs::File>, RunError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| RunError::Data { path, source }
    };
    if let Some(directory) = database.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
    }
    let path = database.with_extension("lock");
    let file = std::fs::File::create(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(&path)(source)),
    }
}

async fn open_store(config: &Config) -> Result<Store, RunError> {
    let failed = |source| RunError::Store { url: config.store.url.clone(), source };
    let key = seal_key(config).map_err(failed)?;
    let durability = match config.store.durability {
        Durability::Power => store::Durability::Power,
        Durability::Process => store::Durability::Process,
    };
    Store::open(store::Config { url: config.store.url.clone(), durability, key }).await.map_err(failed)
}

fn seal_key(config: &Config) -> Result<SealKey, store::Error> {
    if !config.store.key.is_empty() {
        return SealKey::from_text(&config.store.key);
    }
    match (config.store.key_file.as_str(), database_file(config)) {
        ("", Some(database)) => SealKey::from_file_or_create(&database.with_file_name("offhook.key")),
        ("", None) => SealKey::random(),
        (file, _) => SealKey::from_file_or_create(Path::new(file)),
    }
}

/// Everything that listens, bound and not yet served.
struct Listeners {
    http: TcpListener,
    http_address: SocketAddr,
    sip: SipListeners,
    ws: Vec<(TcpListener, SocketAddr)>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, RunError> {
        let sip = listen::sip(&config.sip.udp, &config.sip.tcp, config.shards())?;
        let http = listen::stream(config.http.listen, "HTTP", "http")?;
        let http_address = http.local_addr()?;
        let mut ws = Vec::new();
        for address in &config.sip.ws {
            let listener = listen::stream(*address, "SIP over WebSocket", "sip")?;
            let address = listener.local_addr()?;
            ws.push((listener, address));
        }
        Ok(Self { http, http_address, sip, ws })
    }

    fn addresses(&self, config: &Config) -> Addresses {
        let own = format!("http://{}", self.http_address);
        let base_url = match config.http.public_url.trim_end_matches('/') {
            "" => own,
            public => public.to_owned(),
        };
        let mut ws = vec![format!("ws://{}/sip", self.http_address)];
        ws.extend(self.ws.iter().map(|(_, address)| format!("ws://{address}/")));
        let tcp = self.sip.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        Addresses {
            api: ApiAddress { base_url },
            sip: SipAddresses {
                domain: config.own_domain(),
                udp: self.sip.udp.iter().map(|listeners| listeners.address.to_string()).collect(),
                tcp: tcp.map(|address| address.to_string()).collect(),
                tls: Vec::new(),
                ws,
                wss: Vec::new(),
            },
            media: MediaAddresses { ip: config.media.ip.to_string(), ports: config.media.ports.to_string() },
        }
    }

    /// Every address under which a phone may name us without a domain.
    fn own_addresses(&self, config: &Config) -> Vec<SocketAddr> {
        let udp = self.sip.udp.iter().map(|listeners| listeners.address);
        let tcp = self.sip.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        let ws = self.ws.iter().map(|(_, address)| *address);
        let mut all: Vec<SocketAddr> = udp.chain(tcp).chain(ws).chain([self.http_address]).collect();
        // Behind a listener on all addresses phones use the machine's own, which is the one that media has.
        let media = all.iter().map(|address| SocketAddr::new(config.media.ip, address.port())).collect::<Vec<_>>();
        all.extend(media);
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn inboxes(shards: u8) -> (Inboxes, Vec<mpsc::Receiver<Input>>) {
    (0..shards).map(|_| mpsc::channel(signalling::INBOX)).unzip()
}

async fn core(
    config: &Config,
    listeners: &Listeners,
    addresses: &Addresses,
    data: &Data,
    shards: Inboxes,
    media: MediaHandle,
) -> Result<Arc<Core>, RunError> {
    let mut settings = config.settings(addresses.api.base_url.clone());
    settings.own_addresses = listeners.own_addresses(config);
    let dialects = Dialects::new(dialects::dialect);
    Ok(Core::start(settings, data.store.clone(), Signalling { shards }, media, dialects, Clock::System).await?)
}

fn start_media(config: &Config, core: &Arc<Core>, media: Media) -> Result<MediaThread, RunError> {
    let setup = media::Setup {
        ip: config.media.ip,
        ports: config.media.ports,
        silence_after: Duration::from_secs(config.media.silence_seconds),
        max_sessions: config.limits.calls.saturating_mul(LEGS),
    };
    let core = core.clone();
    Ok(media.spawn(setup, move |event| core.calls.media_event(event))?)
}

fn streams(config: &Config, core: &Arc<Core>, inboxes: Inboxes) -> Streams {
    let counters = Arc::new(Counters::default());
    let limits = &config.limits;
    let started = Clock::System.now().wall;
    Streams {
        connections: Connections::new(limits.connections, limits.connections_per_address, started, counters.clone()),
        inboxes: Arc::new(inboxes),
        counters,
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        core: core.clone(),
    }
}

fn start_shards(
    config: &Config,
    listeners: &SipListeners,
    streams: &Streams,
    receivers: Vec<mpsc::Receiver<Input>>,
    stop: &CancellationToken,
) -> Result<Vec<JoinHandle<()>>, RunError> {
    let count = receivers.len().max(1);
    let mut threads = Vec::new();
    for (number, inbox) in (0_u8..).zip(receivers) {
        let mut sockets = Vec::new();
        for listener in &listeners.udp {
            if let Some(socket) = listener.sockets.get(usize::from(number)) {
                sockets.push(socket.try_clone()?);
            }
        }
        let mut stack = sip::Config::for_shard(number);
        stack.max_transactions = config.limits.transactions.div_ceil(count);
        stack.max_sessions = config.limits.calls.saturating_mul(LEGS);
        let setup = signalling::Setup {
            stack,
            sockets,
            inbox,
            inboxes: streams.inboxes.clone(),
            connections: streams.connections.clone(),
            core: streams.core.clone(),
            clock: Clock::System,
            counters: streams.counters.clone(),
            stop: stop.clone(),
        };
        threads.push(signalling::spawn(setup, Handle::current())?);
    }
    Ok(threads)
}

fn start_listeners(
    config: &Config,
    listeners: Listeners,
    streams: &Streams,
    health: &Arc<Health>,
) -> Result<(), RunError> {
    for listener in listeners.sip.tcp {
        streams.tasks.spawn(tcp::serve(tokio::net::TcpListener::from_std(listener)?, streams.clone()));
    }
    for (listener, _) in listeners.ws {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        streams.tasks.spawn(http::serve(listener, streams.clone(), http::sip_routes(streams.clone())));
    }
    let routes = http::routes(health.clone(), config.limits.body_bytes);
    let listener = tokio::net::TcpListener::from_std(listeners.http)?;
    streams.tasks.spawn(http::serve(listener, streams.clone(), routes));
    Ok(())
}

/// The signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, std::io::Error> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Connections and media ports are descriptors; take as many as the system grants.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
}

fn warn_of_unreachable_media(config: &Config) {
    let outside = config.sip.udp.iter().chain(&config.sip.tcp).any(|address| !address.ip().is_loopback());
    if outside && config.media.ip.is_loopback() {
        tracing::warn!(ip = %config.media.ip, "phones on other machines will hear nothing: set media.ip to an address that reaches this one");
    }
}

#[cfg(test)]
mod tests {
    use super::{data_directory, database_file, lock};
    use crate::config::Layers;

    fn with_url(url: &str) -> crate::config::Config {
        let arguments = vec![("store.url", url.into())];
        Layers { arguments, ..Layers::default() }.load().unwrap()
    }

    #[test]
    fn the_database_s_file_is_found_in_its_url() {
        assert_eq!(database_file(&with_url("sqlite:./a/b.db")).unwrap().to_str(), Some("./a/b.db"));
        assert_eq!(database_file(&with_url("sqlite:///a/b.db?mode=rwc")).unwrap().to_str(), Some("/a/b.db"));
        assert_eq!(database_file(&with_url("sqlite::memory:")), None);
        assert_eq!(data_directory(&with_url("sqlite:b.db")), std::env::current_dir().unwrap());
    }

    #[test]
    fn a_database_serves_one_server_at_a_time() {
        let directory = std::env::temp_dir().join(format!("offhook-lock-{}", std::process::id()));
        let database = directory.join("offhook.db");
        let held = lock(&database).unwrap();
        assert!(held.is_some());
        assert!(lock(&database).unwrap().is_none());
        drop(held);
        assert!(lock(&database).unwrap().is_some());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
