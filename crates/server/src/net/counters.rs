//! What the wire counts. Added to once for each batch, read by `GET /health`.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counters of one process.
#[derive(Debug, Default)]
pub struct Counters {
    /// SIP messages received, on any transport.
    pub received: AtomicU64,
    /// SIP messages sent, on any transport.
    pub sent: AtomicU64,
    /// Messages that the stack refused by itself.
    pub rejected: AtomicU64,
    /// Requests refused because a thread had too much to do, with 503 or without a word.
    pub shed: AtomicU64,
    /// Messages dropped because a queue or a socket's buffer was full, or a datagram was cut off.
    pub dropped: AtomicU64,
    /// Connections closed at once because of a limit.
    pub refused_connections: AtomicU64,
    /// Connections closed because their peer did not read.
    pub slow_connections: AtomicU64,
    /// Connections closed because what came was not SIP, or came too slowly.
    pub broken_connections: AtomicU64,
    /// TLS handshakes that came to their end.
    pub handshakes: AtomicU64,
    /// TLS handshakes that failed: no common version or cipher, no TLS at all, an alert, too slow.
    pub failed_handshakes: AtomicU64,
    /// Inputs whose handling panicked; each is in the log.
    pub panics: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Serialize)]
pub struct Counted {
    received: u64,
    sent: u64,
    rejected: u64,
    shed: u64,
    dropped: u64,
    refused_connections: u64,
    slow_connections: u64,
    broken_connections: u64,
    handshakes: u64,
    failed_handshakes: u64,
    panics: u64,
}

impl Counters {
    /// Reads all counters.
    pub fn read(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            received: read(&self.received),
            sent: read(&self.sent),
            rejected: read(&self.rejected),
            shed: read(&self.shed),
            dropped: read(&self.dropped),
            refused_connections: read(&self.refused_connections),
            slow_connections: read(&self.slow_connections),
            broken_connections: read(&self.broken_connections),
            handshakes: read(&self.handshakes),
            failed_handshakes: read(&self.failed_handshakes),
            panics: read(&self.panics),
        }
    }
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, count: usize) {
    if count > 0 {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}
