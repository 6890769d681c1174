//! Starts the parts in order and stops them in reverse.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use offhook_core::{Clock, Core, Dialects, MediaHandle, Signalling};
use sip::{Input, Transport};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::data::{self, Data, DataError};
use crate::http::{self, Health};
use crate::media::{self, Media, MediaThread};
use crate::net::acme::Acme;
use crate::net::certificate::{self, CertificateError, Files, Shown};
use crate::net::connections::Connections;
use crate::net::counters::Counters;
use crate::net::dial;
use crate::net::listen::{self, ListenError, SipListeners};
use crate::net::proxies::Proxies;
use crate::net::self_signed;
use crate::net::streams::{Inboxes, Streams};
use crate::net::tcp;
use crate::net::tls::Tls;
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
    /// The database, its directory or its lock.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What the core needs to start.
    #[error("the core cannot start: {0}")]
    Core(#[from] offhook_core::Error),
    /// The certificate of the TLS listeners.
    #[error("TLS cannot start: {0}")]
    Certificate(#[from] CertificateError),
    /// TLS itself.
    #[error("TLS cannot start: {0}")]
    Tls(#[from] rustls::Error),
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
    /// Caught from the start, so that none is missed.
    signals: Option<Signals>,
    shards: Vec<JoinHandle<()>>,
    shards_stop: CancellationToken,
    media: MediaThread,
    drain: Duration,
}

impl Server {
    /// Starts everything; all listeners are ready when it returns.
    pub async fn start(config: &Config) -> Result<Self, RunError> {
        let signals = Some(Signals::new()?);
        raise_descriptor_limit();
        warn_of_unreachable_media(config);
        let listeners = Listeners::bind(config)?;
        let addresses = listeners.addresses(config);
        let data = Data::open(config).await?;
        let (inboxes, receivers) = inboxes(config.shards());
        let (media_handle, media) = media::channel(MEDIA_QUEUE)?;
        let connections = connections(config);
        let stop = CancellationToken::new();
        let own = listeners.transports(config);
        let (dialer, wishes) = dial::channel(connections.clone(), own, stop.clone());
        let signalling = Signalling {
            shards: inboxes.clone(),
            dialer,
        };
        let core = core(
            config,
            &listeners,
            &addresses,
            &data,
            signalling,
            media_handle,
        )
        .await?;
        let media = start_media(config, &core, media)?;
        let streams = streams(config, &core, inboxes, connections, stop);
        let authorities = dial::tls(&config.tls.authorities)?;
        streams
            .tasks
            .spawn(dial::serve(wishes, streams.clone(), authorities));
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
        Ok(Self {
            addresses,
            core,
            health,
            data,
            streams,
            signals,
            shards,
            shards_stop,
            media,
            drain,
        })
    }

    /// Serves until SIGTERM or SIGINT, drains, and stops everything.
    pub async fn serve(mut self) -> Result<(), RunError> {
        let mut signals = match self.signals.take() {
            Some(signals) => signals,
            None => Signals::new()?,
        };
        self.serve_until(async || signals.next().await).await
    }

    /// Serves until `end` resolves, drains until it resolves once more, and stops everything.
    pub async fn serve_until(self, mut end: impl AsyncFnMut()) -> Result<(), RunError> {
        let outcome = tokio::select! {
            () = end() => Ok(()),
            () = self.shards_stop.cancelled() => Err(RunError::Thread),
        };
        if outcome.is_ok() {
            self.health.draining.store(true, Ordering::Relaxed);
            let (calls, seconds) = (self.core.calls.live(), self.drain.as_secs());
            tracing::info!(calls, seconds, "draining; a second signal ends it");
            tokio::select! {
                () = self.core.drain(self.drain) => {}
                () = end() => tracing::warn!("a second signal: calls in progress are cut"),
            }
        }
        self.stop().await;
        outcome
    }

    async fn stop(self) {
        self.core.events.close();
        self.streams.stop.cancel();
        self.streams.connections.close_all();
        self.streams.tasks.close();
        if tokio::time::timeout(CLOSING, self.streams.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                tasks = self.streams.tasks.len(),
                "connections did not close in time"
            );
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

/// Everything that listens, bound and not yet served.
struct Listeners {
    http: TcpListener,
    http_address: SocketAddr,
    sip: SipListeners,
    tls: Vec<Bound>,
    ws: Vec<Bound>,
    wss: Vec<Bound>,
    challenges: Option<TcpListener>,
}

/// A listener and the address in use.
type Bound = (TcpListener, SocketAddr);

impl Listeners {
    fn bind(config: &Config) -> Result<Self, RunError> {
        let sip = listen::sip(&config.sip.udp, &config.sip.tcp, config.shards())?;
        let http = listen::stream(config.http.listen, "HTTP", "http")?;
        let http_address = http.local_addr()?;
        let all = |addresses: &[SocketAddr], what, option| {
            let bound = addresses.iter().map(|address| {
                let listener = listen::stream(*address, what, option)?;
                let address = listener.local_addr()?;
                Ok((listener, address))
            });
            bound.collect::<Result<Vec<Bound>, RunError>>()
        };
        Ok(Self {
            http,
            http_address,
            sip,
            tls: all(&config.sip.tls, "SIP over TLS", "sip")?,
            ws: all(&config.sip.ws, "SIP over WebSocket", "http")?,
            wss: all(&config.sip.wss, "SIP over WebSocket and TLS", "http")?,
            challenges: match config.acme.names.is_empty() {
                true => None,
                false => {
                    let address = config.acme.listen;
                    Some(listen::stream(address, "ACME challenges", "http")?)
                }
            },
        })
    }

    fn addresses(&self, config: &Config) -> Addresses {
        let own = format!("http://{}", self.http_address);
        let base_url = match config.http.public_url.trim_end_matches('/') {
            "" => own,
            public => public.to_owned(),
        };
        let mut ws = vec![format!("ws://{}/sip", self.http_address)];
        ws.extend(
            self.ws
                .iter()
                .map(|(_, address)| format!("ws://{address}/")),
        );
        let tcp = self
            .sip
            .tcp
            .iter()
            .filter_map(|listener| listener.local_addr().ok());
        Addresses {
            api: ApiAddress { base_url },
            sip: SipAddresses {
                domain: config.own_domain(),
                udp: self
                    .sip
                    .udp
                    .iter()
                    .map(|listeners| listeners.address.to_string())
                    .collect(),
                tcp: tcp.map(|address| address.to_string()).collect(),
                tls: self.tls.iter().map(|(_, own)| own.to_string()).collect(),
                ws,
                wss: self
                    .wss
                    .iter()
                    .map(|(_, own)| format!("wss://{own}/"))
                    .collect(),
            },
            media: MediaAddresses {
                ip: config.media.ip.to_string(),
                ports: config.media.ports.to_string(),
            },
        }
    }

    /// Where peers reach us by each transport that connections are opened with.
    fn transports(&self, config: &Config) -> Vec<(Transport, SocketAddr)> {
        let tcp = self.sip.tcp.iter();
        let tcp = tcp.filter_map(|listener| Some((Transport::Tcp, listener.local_addr().ok()?)));
        let tls = self.tls.iter().map(|(_, own)| (Transport::Tls, *own));
        tcp.chain(tls)
            .map(|(transport, own)| match own.ip().is_unspecified() {
                true => (transport, SocketAddr::new(config.media.ip, own.port())),
                false => (transport, own),
            })
            .collect()
    }

    /// Every address under which a phone may name us without a domain.
    fn own_addresses(&self, config: &Config) -> Vec<SocketAddr> {
        let udp = self.sip.udp.iter().map(|listeners| listeners.address);
        let tcp = self
            .sip
            .tcp
            .iter()
            .filter_map(|listener| listener.local_addr().ok());
        let others = [&self.tls, &self.ws, &self.wss];
        let others = others.into_iter().flatten().map(|(_, address)| *address);
        // Calls to trunks leave from the first one of their family: UDP comes first.
        let listening: Vec<SocketAddr> = udp
            .chain(tcp)
            .chain(others)
            .chain([self.http_address])
            .collect();
        // Behind a listener on all addresses phones use the machine's own, which is the one that media has.
        let reached = |address: &SocketAddr| match address.ip().is_unspecified() {
            true => SocketAddr::new(config.media.ip, address.port()),
            false => *address,
        };
        let mut own = Vec::new();
        for address in listening.iter().map(reached).chain(
            listening
                .iter()
                .map(|address| SocketAddr::new(config.media.ip, address.port())),
        ) {
            if !own.contains(&address) {
                own.push(address);
            }
        }
        own
    }
}

fn inboxes(shards: u8) -> (Inboxes, Vec<mpsc::Receiver<Input>>) {
    (0..shards)
        .map(|_| mpsc::channel(signalling::INBOX))
        .unzip()
}

async fn core(
    config: &Config,
    listeners: &Listeners,
    addresses: &Addresses,
    data: &Data,
    signalling: Signalling,
    media: MediaHandle,
) -> Result<Arc<Core>, RunError> {
    let mut settings = config.settings(addresses.api.base_url.clone());
    settings.own_addresses = listeners.own_addresses(config);
    let dialects = Dialects::new(dialects::dialect);
    Ok(Core::start(
        settings,
        data.store.clone(),
        signalling,
        media,
        dialects,
        Clock::System,
    )
    .await?)
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

fn connections(config: &Config) -> Arc<Connections> {
    Connections::new(
        config.limits.connections,
        config.limits.connections_per_address,
        Clock::System.now().wall,
        Arc::new(Counters::default()),
    )
}

fn streams(
    config: &Config,
    core: &Arc<Core>,
    inboxes: Inboxes,
    connections: Arc<Connections>,
    stop: CancellationToken,
) -> Streams {
    Streams {
        counters: connections.counters().clone(),
        connections,
        inboxes: Arc::new(inboxes),
        tasks: TaskTracker::new(),
        stop,
        core: core.clone(),
        proxies: Arc::new(Proxies {
            announcing: config.proxies.announcing.clone(),
            forwarding: config.proxies.forwarding.clone(),
        }),
        origins: config.sip.origins.clone().into(),
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
        // The core counts over all shards; one of them may hold them all.
        stack.max_subscriptions = config.events.subscriptions;
        stack.session_interval = config.sip.session_expires;
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
        streams.tasks.spawn(tcp::serve(
            tokio::net::TcpListener::from_std(listener)?,
            streams.clone(),
        ));
    }
    let sip_routes = http::sip_routes(streams.clone());
    for (listener, _) in listeners.ws {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let serve = http::serve(listener, streams.clone(), sip_routes.clone());
        streams.tasks.spawn(serve);
    }
    if !listeners.tls.is_empty() || !listeners.wss.is_empty() {
        let tls = tls(config, streams, listeners.challenges)?;
        for (listener, _) in listeners.tls {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let serve = tcp::serve_tls(listener, streams.clone(), tls.clone());
            streams.tasks.spawn(serve);
        }
        for (listener, _) in listeners.wss {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let routes = sip_routes.clone();
            let serve = http::serve_tls(listener, streams.clone(), routes, tls.clone());
            streams.tasks.spawn(serve);
        }
    }
    let routes = http::routes(health.clone(), config.limits.body_bytes);
    let listener = tokio::net::TcpListener::from_std(listeners.http)?;
    streams
        .tasks
        .spawn(http::serve(listener, streams.clone(), routes));
    Ok(())
}

/// The certificate that the configuration names, or one of our own, and TLS with it.
fn tls(
    config: &Config,
    streams: &Streams,
    challenges: Option<TcpListener>,
) -> Result<Tls, RunError> {
    if let Some(listener) = challenges {
        let settings = &config.acme;
        let acme = Acme::new(
            settings.names.clone(),
            settings.directory.clone(),
            settings.contact.clone(),
            settings.authorities.clone(),
            data::directory(config).join("acme"),
        );
        let shown = Shown::new(acme.first()?);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let serve = http::serve(listener, streams.clone(), acme.routes());
        streams.tasks.spawn(serve);
        let keep = acme.keep(shown.clone(), Clock::System, streams.stop.clone());
        streams.tasks.spawn(keep);
        return Ok(Tls::new(shown, streams.counters.clone())?);
    }
    let files = if config.tls.certificate.is_empty() {
        let own = config.own_domain();
        let mut names = vec![own.clone(), format!("*.{own}"), "localhost".to_owned()];
        names.extend(["127.0.0.1", "::1"].map(str::to_owned));
        tracing::warn!(
            "tls.certificate names none: phones have to be told to trust the self-signed one"
        );
        self_signed::find_or_make(&data::directory(config).join("tls"), &names)?
    } else {
        Files {
            certificate: config.tls.certificate.as_str().into(),
            key: config.tls.key.as_str().into(),
        }
    };
    let shown = Shown::new(files.load()?);
    let follow = certificate::follow(files, shown.clone(), streams.stop.clone());
    streams.tasks.spawn(follow);
    Ok(Tls::new(shown, streams.counters.clone())?)
}

/// The signals that end the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, std::io::Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
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
    let outside = config
        .sip
        .udp
        .iter()
        .chain(&config.sip.tcp)
        .any(|address| !address.ip().is_loopback());
    if outside && config.media.ip.is_loopback() {
        tracing::warn!(ip = %config.media.ip, "phones on other machines will hear nothing: set media.ip to an address that reaches this one");
    }
}
