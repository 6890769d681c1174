//! Trunks: the rules for what a customer may say about them, and the tables in which calls find them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use ipnet::IpNet;
use sip::Uri;
use store::{Account, Id, Login, Route, Secret, Transport, Trunk};

use super::{ATTEMPTS, Directory, Listed, Page, id};
use crate::error::{Barred, Error, Why};

/// The most trunks of an account.
pub const MAX_TRUNKS: u64 = 100;
/// The most hosts of a trunk.
const MAX_HOSTS: usize = 8;
/// The most routes, networks and number prefixes of a trunk.
const MAX_ENTRIES: usize = 256;
/// The longest name, user, password or domain.
const MAX_TEXT: usize = 128;
/// Seconds of a registration when nobody says otherwise, and what may be said.
const EXPIRES: u32 = 3600;
const EXPIRES_RANGE: std::ops::RangeInclusive<u32> = 60..=86_400;
/// Seconds between two questions whether a trunk is alive when nobody says otherwise, and what may be said beside 0.
const INTERVAL: u32 = 60;
const INTERVAL_RANGE: std::ops::RangeInclusive<u32> = 5..=3600;
/// Networks of which every address is a trunk's own, by the bits that are given. In a wider one there are others too.
const OWN_V4: u8 = 24;
const OWN_V6: u8 = 48;
/// The most calls at a time that may be set.
const MAX_CALLS: u32 = 100_000;

const NOT_FOUND: Error = Error::NotFound { what: "trunk" };

/// What is to be different about a trunk, or from a trunk's defaults; `Some(None)` takes away.
#[derive(Clone, Default, Debug)]
#[expect(missing_docs, reason = "the fields are those of store::Trunk")]
pub struct TrunkChange {
    pub name: Option<String>,
    pub register: Option<bool>,
    pub hosts: Option<Vec<String>>,
    pub transport: Option<Option<Transport>>,
    pub username: Option<Option<String>>,
    pub password: Option<Option<Secret>>,
    pub inbound_username: Option<Option<String>>,
    pub inbound_password: Option<Option<Secret>>,
    pub inbound_networks: Option<Vec<String>>,
    pub routes: Option<Vec<Route>>,
    pub shown_prefixes: Option<Vec<String>>,
    pub default_caller_id: Option<Option<String>>,
    pub plus: Option<bool>,
    pub trusted: Option<bool>,
    pub from_domain: Option<Option<String>>,
    pub max_calls: Option<u32>,
    pub options_interval: Option<u32>,
    pub expires: Option<u32>,
    pub enabled: Option<bool>,
}

impl Directory {
    /// Makes a trunk; it has the change's fields and otherwise takes all numbers, over whatever transport DNS says.
    pub async fn create_trunk(
        &self,
        account: &Account,
        fields: TrunkChange,
    ) -> Result<Arc<Trunk>, Error> {
        let (directory, account) = (self.clone(), account.id);
        self.to_the_end(async move {
            let _shared = directory.lock(account).read().await;
            let mut trunk = fields.apply(blank(account, directory.now()))?;
            for _ in 0..ATTEMPTS {
                trunk.id = id::internal();
                trunk.public_id = id::public("tr");
                match directory
                    .0
                    .store
                    .insert_trunk(trunk.clone(), MAX_TRUNKS)
                    .await
                {
                    Ok(()) => return Ok(directory.remember_trunk(trunk)),
                    Err(store::Error::Limit { .. }) => {
                        return Err(Error::Forbidden {
                            why: Barred::TrunkLimit,
                        });
                    }
                    Err(store::Error::Taken { columns }) if columns.contains("trunk.name") => {
                        return Err(taken(trunk.name));
                    }
                    Err(store::Error::Taken { .. }) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            Err(Error::busy())
        })
        .await
    }

    /// The account's trunk with this `tr-…` id.
    pub fn trunk(&self, account: &Account, public_id: &str) -> Result<Arc<Trunk>, Error> {
        let trunks = self.trunk_table();
        let found = trunks.by_public_id.get(public_id);
        found
            .and_then(|id| trunks.by_id.get(id))
            .filter(|trunk| trunk.account == account.id)
            .cloned()
            .ok_or(NOT_FOUND)
    }

    /// The account's trunks, newest first.
    pub async fn trunks(&self, account: &Account, page: Page) -> Result<Listed<Arc<Trunk>>, Error> {
        Ok(self.0.store.trunks(account.id, page).await?.map(Arc::new))
    }

    /// Changes a trunk; calls over it go on.
    pub async fn update_trunk(
        &self,
        account: &Account,
        public_id: &str,
        change: TrunkChange,
    ) -> Result<Arc<Trunk>, Error> {
        let (directory, account, public_id) = (self.clone(), account.clone(), public_id.to_owned());
        self.to_the_end(async move {
            let _alone = directory.lock(account.id).write().await;
            let current = directory.trunk(&account, &public_id)?;
            let mut changed = change.apply(Trunk::clone(&current))?;
            changed.updated = directory.now();
            match directory.0.store.update_trunk(changed.clone()).await {
                Ok(true) => Ok(directory.remember_trunk(changed)),
                Ok(false) => Err(NOT_FOUND),
                Err(store::Error::Taken { .. }) => Err(taken(changed.name)),
                Err(other) => Err(other.into()),
            }
        })
        .await
    }

    /// Deletes a trunk; calls over it go on.
    pub async fn delete_trunk(&self, account: &Account, public_id: &str) -> Result<(), Error> {
        let (directory, account, public_id) = (self.clone(), account.clone(), public_id.to_owned());
        self.to_the_end(async move {
            let _alone = directory.lock(account.id).write().await;
            let trunk = directory.trunk(&account, &public_id)?;
            if !directory.0.store.delete_trunk(trunk.id).await? {
                return Err(NOT_FOUND);
            }
            let mut table = directory.0.trunks.write();
            table
                .as_deref_mut()
                .unwrap_or_else(|poisoned| poisoned.get_mut())
                .remove(trunk.id);
            Ok(())
        })
        .await
    }

    /// The trunk with this `tr-…` id, whosever it is.
    pub fn trunk_by_public_id(&self, public_id: &str) -> Option<Arc<Trunk>> {
        let table = self.trunk_table();
        let id = table.by_public_id.get(public_id)?;
        table.by_id.get(id).cloned()
    }

    /// The trunk with this key, whosever it is.
    pub fn trunk_by_id(&self, id: Id) -> Option<Arc<Trunk>> {
        self.trunk_table().by_id.get(&id).cloned()
    }

    /// All trunks that are on.
    pub fn enabled_trunks(&self) -> Vec<Arc<Trunk>> {
        let table = self.trunk_table();
        let enabled = table.by_id.values().filter(|trunk| trunk.enabled);
        enabled.cloned().collect()
    }

    /// The trunks of an account that are on, oldest key first.
    pub fn enabled_trunks_of(&self, account: Id) -> Vec<Arc<Trunk>> {
        let table = self.trunk_table();
        let ids = table.by_account.get(&account).into_iter().flatten();
        ids.filter_map(|id| table.by_id.get(id))
            .filter(|trunk| trunk.enabled)
            .cloned()
            .collect()
    }

    /// The trunk that this host name (lower case) is the realm of: `{tr-…}.{installation's domain}`.
    pub fn trunk_of_host(&self, host: &str) -> Option<Arc<Trunk>> {
        let public_id = host
            .strip_suffix(self.0.settings.domain.to_ascii_lowercase().as_str())?
            .strip_suffix('.')?;
        self.trunk_by_public_id(public_id)
    }

    /// The realm of a trunk's own digest; the host of the addresses that its calls may name.
    pub fn realm_of_trunk(&self, trunk: &Trunk) -> String {
        let domain = self.0.settings.domain.to_ascii_lowercase();
        format!("{}.{domain}", trunk.public_id)
    }

    /// The trunks, whether on or off, whose networks an address is in.
    pub fn trunks_with_address(&self, address: IpAddr) -> Vec<Arc<Trunk>> {
        let table = self.trunk_table();
        let ids = table.networks.of(address.to_canonical());
        ids.iter()
            .filter_map(|id| table.by_id.get(id))
            .cloned()
            .collect()
    }

    /// Whether a trunk that is on has this address in a network that nobody else is in.
    pub(crate) fn is_trunks_own_address(&self, address: IpAddr) -> bool {
        let table = self.trunk_table();
        let is_enabled = |id| table.by_id.get(id).is_some_and(|trunk| trunk.enabled);
        let mut found = table.networks.around(address.to_canonical());
        found.any(|(network, ids)| is_own(network) && ids.iter().any(is_enabled))
    }

    pub(super) fn remember_trunk(&self, trunk: Trunk) -> Arc<Trunk> {
        let trunk = Arc::new(trunk);
        let mut table = self.0.trunks.write();
        table
            .as_deref_mut()
            .unwrap_or_else(|poisoned| poisoned.get_mut())
            .put(Arc::clone(&trunk));
        trunk
    }

    fn trunk_table(&self) -> std::sync::RwLockReadGuard<'_, Trunks> {
        self.0.trunks.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All trunks in memory; changed seldom, read by calls to and from numbers.
#[derive(Default)]
pub(super) struct Trunks {
    by_id: BTreeMap<Id, Arc<Trunk>>,
    by_public_id: BTreeMap<String, Id>,
    by_account: BTreeMap<Id, BTreeSet<Id>>,
    networks: Networks,
}

impl Trunks {
    fn put(&mut self, trunk: Arc<Trunk>) {
        self.remove(trunk.id);
        self.by_public_id.insert(trunk.public_id.clone(), trunk.id);
        self.by_account
            .entry(trunk.account)
            .or_default()
            .insert(trunk.id);
        for network in networks(&trunk) {
            self.networks.put(network, trunk.id);
        }
        self.by_id.insert(trunk.id, trunk);
    }

    fn remove(&mut self, id: Id) {
        let Some(trunk) = self.by_id.remove(&id) else {
            return;
        };
        self.by_public_id.remove(&trunk.public_id);
        if let Some(of_account) = self.by_account.get_mut(&trunk.account) {
            of_account.remove(&id);
            if of_account.is_empty() {
                self.by_account.remove(&trunk.account);
            }
        }
        for network in networks(&trunk) {
            self.networks.remove(network, id);
        }
    }
}

fn networks(trunk: &Trunk) -> impl Iterator<Item = IpNet> {
    trunk
        .inbound_networks
        .iter()
        .filter_map(|text| network(text))
}

/// Reads a network, or an address as the network of itself.
fn network(text: &str) -> Option<IpNet> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.ok().map(|network| network.trunc())
}

fn is_own(network: IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() >= OWN_V4,
        IpNet::V6(network) => network.prefix_len() >= OWN_V6,
    }
}

/// Networks by their first address: an address is looked up once for each length that occurs.
#[derive(Default)]
struct Networks(BTreeMap<u8, BTreeMap<IpAddr, BTreeSet<Id>>>);

impl Networks {
    fn put(&mut self, network: IpNet, id: Id) {
        let of_length = self.0.entry(network.prefix_len()).or_default();
        of_length.entry(network.network()).or_default().insert(id);
    }

    fn remove(&mut self, network: IpNet, id: Id) {
        let Some(of_length) = self.0.get_mut(&network.prefix_len()) else {
            return;
        };
        if let Some(ids) = of_length.get_mut(&network.network()) {
            ids.remove(&id);
            if ids.is_empty() {
                of_length.remove(&network.network());
            }
        }
        if of_length.is_empty() {
            self.0.remove(&network.prefix_len());
        }
    }

    fn of(&self, address: IpAddr) -> BTreeSet<Id> {
        self.around(address)
            .flat_map(|(_, ids)| ids)
            .copied()
            .collect()
    }

    /// The networks that an address is in, and whose they are.
    fn around(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, &BTreeSet<Id>)> {
        self.0.iter().filter_map(move |(length, networks)| {
            let network = IpNet::new(address, *length).ok()?;
            Some((network, networks.get(&network.network())?))
        })
    }
}

fn taken(name: String) -> Error {
    Error::Conflict {
        what: "trunk",
        value: name,
    }
}

fn blank(account: Id, now: jiff::Timestamp) -> Trunk {
    Trunk {
        id: 0,
        public_id: String::new(),
        account,
        name: String::new(),
        register: false,
        hosts: Vec::new(),
        transport: None,
        login: None,
        inbound_login: None,
        inbound_networks: Vec::new(),
        routes: vec![Route {
            prefix: String::new(),
            strip: 0,
            prepend: String::new(),
            priority: 1,
            weight: 1,
        }],
        shown_prefixes: Vec::new(),
        default_caller_id: None,
        plus: true,
        trusted: false,
        from_domain: None,
        max_calls: 0,
        options_interval: INTERVAL,
        expires: EXPIRES,
        enabled: true,
        created: now,
        updated: now,
    }
}

impl TrunkChange {
    /// Applies it and checks the whole.
    fn apply(self, mut trunk: Trunk) -> Result<Trunk, Error> {
        fn put<T>(new: Option<T>, to: &mut T) {
            if let Some(new) = new {
                *to = new;
            }
        }
        put(self.name, &mut trunk.name);
        put(self.register, &mut trunk.register);
        put(self.hosts, &mut trunk.hosts);
        put(self.transport, &mut trunk.transport);
        trunk.login = login(trunk.login, self.username, self.password, "password")?;
        trunk.inbound_login = login(
            trunk.inbound_login,
            self.inbound_username,
            self.inbound_password,
            "inbound_password",
        )?;
        put(self.inbound_networks, &mut trunk.inbound_networks);
        put(self.routes, &mut trunk.routes);
        put(self.shown_prefixes, &mut trunk.shown_prefixes);
        put(self.default_caller_id, &mut trunk.default_caller_id);
        put(self.plus, &mut trunk.plus);
        put(self.trusted, &mut trunk.trusted);
        put(self.from_domain, &mut trunk.from_domain);
        put(self.max_calls, &mut trunk.max_calls);
        put(self.options_interval, &mut trunk.options_interval);
        put(self.expires, &mut trunk.expires);
        put(self.enabled, &mut trunk.enabled);
        check(&mut trunk)?;
        Ok(trunk)
    }
}

/// A user without a password, or the reverse, proves nothing.
fn login(
    before: Option<Login>,
    user: Option<Option<String>>,
    password: Option<Option<Secret>>,
    field: &'static str,
) -> Result<Option<Login>, Error> {
    let (old_user, old_password) = match before {
        Some(login) => (Some(login.user), Some(login.password)),
        None => (None, None),
    };
    match (user.unwrap_or(old_user), password.unwrap_or(old_password)) {
        (None, _) => Ok(None),
        (Some(_), None) => Err(Error::Invalid {
            field,
            why: Why::Missing,
        }),
        (Some(user), Some(password)) => Ok(Some(Login { user, password })),
    }
}

fn check(trunk: &mut Trunk) -> Result<(), Error> {
    if trunk.name.is_empty() {
        return Err(Error::Invalid {
            field: "trunk_name",
            why: Why::Missing,
        });
    }
    require(
        is_plain(&trunk.name),
        "trunk_name",
        "it is too long or holds control characters",
    )?;
    require(
        trunk.hosts.len() <= MAX_HOSTS,
        "hosts",
        "there are too many",
    )?;
    for host in &mut trunk.hosts {
        *host = host_uri(host).ok_or_else(|| not_valid("hosts", "one is no SIP address"))?;
    }
    require(
        matches!(
            trunk.transport,
            None | Some(Transport::Udp | Transport::Tcp | Transport::Tls)
        ),
        "transport",
        "it must be udp, tcp or tls",
    )?;
    if trunk.register && trunk.login.is_none() {
        return Err(Error::Invalid {
            field: "username",
            why: Why::Missing,
        });
    }
    if trunk.register && trunk.hosts.is_empty() {
        return Err(Error::Invalid {
            field: "hosts",
            why: Why::Missing,
        });
    }
    for (login, field) in [
        (&trunk.login, "username"),
        (&trunk.inbound_login, "inbound_username"),
    ] {
        if let Some(login) = login {
            let is_good = is_plain(&login.user)
                && is_plain(login.password.expose())
                && !login.user.contains(['"', '\\', ' ']);
            require(is_good, field, "user or password cannot be used")?;
        }
    }
    check_networks(trunk)?;
    check_numbers(trunk)?;
    if let Some(domain) = &trunk.from_domain {
        let uri = Uri::parse(&format!("sip:{domain}").into());
        let is_host = domain.len() <= MAX_TEXT
            && uri.is_ok_and(|uri| uri.user.is_none() && uri.params.is_empty());
        require(is_host, "from_domain", "it is no host")?;
    }
    require(trunk.max_calls <= MAX_CALLS, "max_calls", "it is too large")?;
    let interval = trunk.options_interval;
    require(
        interval == 0 || INTERVAL_RANGE.contains(&interval),
        "options_interval",
        "it must be 0, or 5 to 3600 seconds",
    )?;
    require(
        EXPIRES_RANGE.contains(&trunk.expires),
        "expires",
        "it must be 60 to 86400 seconds",
    )
}

fn check_networks(trunk: &mut Trunk) -> Result<(), Error> {
    let field = "inbound_networks";
    require(
        trunk.inbound_networks.len() <= MAX_ENTRIES,
        field,
        "there are too many",
    )?;
    for text in &mut trunk.inbound_networks {
        let network = network(text).ok_or_else(|| not_valid(field, "one is no network"))?;
        // Half the world is no peer: only a password tells who calls from there.
        let narrow = match network {
            IpNet::V4(network) => network.prefix_len() >= 8,
            IpNet::V6(network) => network.prefix_len() >= 16,
        };
        require(
            narrow || trunk.inbound_login.is_some(),
            field,
            "one is so wide that inbound credentials are needed",
        )?;
        *text = network.to_string();
    }
    Ok(())
}

fn check_numbers(trunk: &mut Trunk) -> Result<(), Error> {
    let digits = |text: &str| text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    require(
        trunk.routes.len() <= MAX_ENTRIES,
        "prefixes",
        "there are too many",
    )?;
    for route in &trunk.routes {
        let prepend = |text: &str| {
            text.len() <= 15
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#'))
        };
        require(
            digits(&route.prefix) && route.strip <= 15 && prepend(&route.prepend),
            "prefixes",
            "one cannot be used",
        )?;
    }
    let shown = &trunk.shown_prefixes;
    require(
        shown.len() <= MAX_ENTRIES && shown.iter().all(|text| digits(text)),
        "caller_id_prefixes",
        "they must be digits",
    )?;
    if let Some(number) = &mut trunk.default_caller_id {
        let bare = crate::calls::locate::digits(number);
        *number = bare.ok_or_else(|| not_valid("caller_id", "it is no number"))?;
    }
    Ok(())
}

/// Reads a host of a trunk: `host`, `host:port`, or a SIP URI without user part and headers.
fn host_uri(text: &str) -> Option<String> {
    let text = text.trim();
    let has_scheme = text
        .split_once(':')
        .is_some_and(|(scheme, _)| matches!(&*scheme.to_ascii_lowercase(), "sip" | "sips"));
    let whole = match has_scheme {
        true => text.to_owned(),
        false => format!("sip:{text}"),
    };
    let uri = Uri::parse(&whole.as_str().into()).ok()?;
    let plain = uri.scheme.is_sip()
        && uri.user.is_none()
        && uri.headers.is_empty()
        && whole.len() <= 2 * MAX_TEXT
        && uri.port != Some(0)
        && uri
            .param("transport")
            .is_none_or(|name| matches!(&*name.to_ascii_lowercase(), "udp" | "tcp" | "tls"));
    plain.then_some(whole)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}

fn require(holds: bool, field: &'static str, why: &str) -> Result<(), Error> {
    match holds {
        true => Ok(()),
        false => Err(not_valid(field, why)),
    }
}

fn not_valid(field: &'static str, why: &str) -> Error {
    Error::Invalid {
        field,
        why: Why::NotValid(why.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_finds_every_network_that_it_is_in() {
        let mut networks = Networks::default();
        for (text, id) in [
            ("192.0.2.0/24", 1),
            ("192.0.2.7", 2),
            ("192.0.2.7/32", 3),
            ("2001:db8::/32", 4),
        ] {
            networks.put(network(text).expect(text), id);
        }
        let of = |networks: &Networks, text: &str| -> Vec<Id> {
            let found = networks.of(text.parse().expect(text));
            found.into_iter().collect()
        };
        assert_eq!(of(&networks, "192.0.2.7"), [1, 2, 3]);
        assert_eq!(of(&networks, "192.0.2.8"), [1]);
        assert_eq!(of(&networks, "2001:db8:7::1"), [4]);
        assert!(of(&networks, "192.0.3.7").is_empty());
        networks.remove(network("192.0.2.0/24").expect("one"), 1);
        networks.remove(network("192.0.2.7").expect("one"), 2);
        assert_eq!(of(&networks, "192.0.2.7"), [3]);
    }

    #[test]
    fn hosts_are_sip_addresses_without_a_user() {
        for (text, whole) in [
            ("gw.example.net", "sip:gw.example.net"),
            ("192.0.2.7:5070", "sip:192.0.2.7:5070"),
            ("[2001:db8::7]", "sip:[2001:db8::7]"),
            ("sips:gw.example.net", "sips:gw.example.net"),
            (
                "sip:gw.example.net;transport=tcp",
                "sip:gw.example.net;transport=tcp",
            ),
        ] {
            assert_eq!(host_uri(text).as_deref(), Some(whole));
        }
        for bad in [
            "",
            "sip:user@gw.example.net",
            "gw example",
            "sip:gw?x=y",
            "sip:gw;transport=ws",
            "gw:0",
            "http://gw",
        ] {
            assert_eq!(host_uri(bad), None, "{bad}");
        }
    }
}
