//! The part of the configuration that the core goes by.

use std::time::Duration;

use offhook_core::Abuse;
use offhook_core::Settings;
use offhook_core::settings::{Egress, Redirects};
use sip::digest::Algorithm;

use super::{Config, DigestAlgorithm, RedirectRule};

impl Config {
    /// What the core has to know; the listening addresses are added when they are bound.
    pub fn settings(&self, public_url: String) -> Settings {
        let usual = Settings::new(&self.own_domain());
        Settings {
            aliases: self.alias_domains(),
            app_domain: match self.sip.app_domain.as_str() {
                "" => usual.app_domain.clone(),
                chosen => chosen.to_ascii_lowercase(),
            },
            public_url,
            refused_user_agents: self.sip.refused_user_agents.clone(),
            min_expires: self.sip.min_expires,
            default_expires: self.sip.default_expires,
            max_expires: self.sip.max_expires,
            max_bindings: self.sip.max_bindings,
            ping: self.sip.ping_seconds,
            ping_misses: self.sip.ping_misses,
            flow_timer: self.sip.flow_timer,
            proxies: self.sip.proxies.clone(),
            service_route: self.sip.service_route.clone(),
            algorithm: match self.sip.digest {
                DigestAlgorithm::Md5 => Algorithm::Md5,
                DigestAlgorithm::Sha256 => Algorithm::Sha256,
                DigestAlgorithm::Sha512_256 => Algorithm::Sha512_256,
            },
            bind_nonces: self.sip.bind_nonces,
            nonce_lifetime: Duration::from_secs(self.sip.nonce_seconds),
            redirects: match self.calls.redirects {
                RedirectRule::Never => Redirects::Never,
                RedirectRule::Own => Redirects::Own,
                RedirectRule::All => Redirects::All,
            },
            trusted_peers: self.calls.trusted_peers.clone(),
            egress: Egress {
                allow: self.egress.allow.clone(),
            },
            abuse: Abuse {
                score: self.abuse.score,
                per_minute: self.abuse.per_minute,
                silence: Duration::from_secs(self.abuse.silence_seconds),
                max_silence: Duration::from_secs(self.abuse.max_silence_seconds),
                exempt: self.abuse.exempt.clone(),
                scanners: self.abuse.scanners.clone(),
            },
            fetch_bytes: self.limits.fetch_bytes,
            fetch_total: Duration::from_secs(self.limits.fetch_seconds),
            requests_per_second: self.limits.requests_per_second,
            max_calls: self.limits.calls,
            max_subscriptions: self.events.subscriptions,
            max_subscriptions_of_endpoint: self.events.subscriptions_per_endpoint,
            max_publications: self.events.publications,
            min_event_expires: self.events.min_expires,
            max_event_expires: self.events.max_expires,
            max_message_bytes: self.messages.max_bytes,
            messages_per_minute: self.messages.per_minute,
            plivo_password_md5: self.plivo.password_md5,
            default_trunk: Some(self.trunks.default.clone()).filter(|uri| !uri.is_empty()),
            country_code: Some(self.trunks.country_code.clone()).filter(|code| !code.is_empty()),
            trunk_patience: Duration::from_secs(self.trunks.patience_seconds),
            dns_server: self.trunks.dns_server.parse().ok(),
            ..usual
        }
    }
}
