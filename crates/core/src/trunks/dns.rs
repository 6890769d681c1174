//! Asks the DNS what a lookup of RFC 3263 wants to know. Answers are cached as long as their records say, in a bounded table.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ProtocolConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use sip::target::{Answer, Lookup, Naptr, NoTarget, Question, Srv, Target};
use sip::{Text, Transport, Uri};

/// For one question, before it is asked again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked.
const ATTEMPTS: usize = 2;
/// For all questions of one lookup.
const WHOLE: Duration = Duration::from_secs(10);
/// Answers that are kept.
const CACHED: u64 = 4096;
/// For an answer without records, whatever its records say: somebody may be mending it.
const LONGEST_NOTHING: Duration = Duration::from_secs(60);

/// The way to the DNS; clones share it. Without a resolver only addresses are found.
#[derive(Clone)]
pub struct Dns(Option<Arc<TokioResolver>>);

impl Dns {
    /// Asks this server, or those that the operating system names.
    pub fn new(server: Option<SocketAddr>) -> Self {
        let builder = match server {
            Some(server) => {
                let connection = |protocol| {
                    let mut connection = ConnectionConfig::new(protocol);
                    connection.port = server.port();
                    connection
                };
                let connections = vec![
                    connection(ProtocolConfig::Udp),
                    connection(ProtocolConfig::Tcp),
                ];
                let server = NameServerConfig::new(server.ip(), true, connections);
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                Ok(TokioResolver::builder_with_config(
                    config,
                    TokioRuntimeProvider::default(),
                ))
            }
            None => TokioResolver::builder_tokio(),
        };
        let resolver = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = PATIENCE;
            options.attempts = ATTEMPTS;
            options.cache_size = CACHED;
            options.negative_max_ttl = Some(LONGEST_NOTHING);
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build()
        });
        Self(
            resolver
                .inspect_err(|error| tracing::warn!(%error, "no DNS: only addresses are found"))
                .ok()
                .map(Arc::new),
        )
    }

    /// Where a URI leads, the best place first; see [`Lookup::new`].
    pub async fn targets(
        &self,
        uri: &Uri,
        wanted: Option<Transport>,
        supported: &[Transport],
    ) -> Result<Vec<Target>, NoTarget> {
        let mut lookup = Lookup::new(uri, wanted, supported)?;
        let asked = tokio::time::timeout(WHOLE, async {
            while let Some(question) = lookup.question() {
                let answer = self.ask(&question).await;
                lookup.answer(answer, &mut rand::rng());
            }
        });
        if asked.await.is_err() {
            tracing::info!(host = &*uri.host, "the DNS is too slow");
        }
        Ok(lookup.into_targets())
    }

    async fn ask(&self, question: &Question) -> Answer {
        match question {
            Question::Naptr(name) => Answer::Naptr(self.naptr(name).await),
            Question::Srv(name) => Answer::Srv(self.srv(name).await),
            Question::Addresses(host) => Answer::Addresses(self.addresses(host).await),
        }
    }

    async fn naptr(&self, name: &str) -> Vec<Naptr> {
        let records = self.records(name, RecordType::NAPTR).await;
        let naptr = records.into_iter().filter_map(|data| match data {
            RData::NAPTR(record) if record.flags.eq_ignore_ascii_case(b"s") => Some(Naptr {
                order: record.order,
                preference: record.preference,
                service: String::from_utf8_lossy(&record.services).as_ref().into(),
                replacement: without_dot(&record.replacement.to_utf8()),
            }),
            _ => None,
        });
        naptr.collect()
    }

    async fn srv(&self, name: &str) -> Vec<Srv> {
        let records = self.records(name, RecordType::SRV).await;
        let srv = records.into_iter().filter_map(|data| match data {
            RData::SRV(record) => Some(Srv {
                priority: record.priority,
                weight: record.weight,
                port: record.port,
                host: without_dot(&record.target.to_utf8()),
            }),
            _ => None,
        });
        srv.collect()
    }

    async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let Some(resolver) = &self.0 else {
            return Vec::new();
        };
        // With a dot at its end a name is meant as it is: no search list is tried.
        match resolver.lookup_ip(format!("{host}.")).await {
            Ok(found) => found.iter().collect(),
            Err(error) => {
                tracing::debug!(host, %error, "no address");
                Vec::new()
            }
        }
    }

    async fn records(&self, name: &str, kind: RecordType) -> Vec<RData> {
        let Some(resolver) = &self.0 else {
            return Vec::new();
        };
        match resolver.lookup(format!("{name}."), kind).await {
            Ok(found) => found
                .answers()
                .iter()
                .map(|record| record.data.clone())
                .collect(),
            Err(error) => {
                tracing::debug!(name, %kind, %error, "no records");
                Vec::new()
            }
        }
    }
}

fn without_dot(name: &str) -> Text {
    Text::from(name.trim_end_matches('.'))
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dns")
    }
}
