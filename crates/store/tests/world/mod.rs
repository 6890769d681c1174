//! A store in a directory that goes away, and rows to fill it with.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use store::{
    Account, Binding, CallDirection, CallRow, Config, Domain, DomainKind, Durability, Endpoint,
    Flavor, HttpMethod, Id, Permissions, Ring, SealKey, Secret, Store, Transport,
};
use uuid::Uuid;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A directory that goes away with the value.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("offhook-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Directory(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub async fn open(&self) -> Store {
        self.open_with(key()).await.expect("the store opens")
    }

    pub async fn try_open(&self) -> store::Result<Store> {
        self.open_with(key()).await
    }

    pub async fn open_with(&self, key: SealKey) -> store::Result<Store> {
        let url = format!("sqlite://{}", self.0.join("offhook.db").display());
        Store::open(Config {
            url,
            durability: Durability::Power,
            key,
        })
        .await
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn key() -> SealKey {
    SealKey::new(&[7; 32]).expect("a key")
}

pub async fn in_memory() -> Store {
    let config = Config {
        url: "sqlite::memory:".into(),
        durability: Durability::Process,
        key: key(),
    };
    Store::open(config).await.expect("the store opens")
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("a time")
}

pub fn account(id: Id) -> (Account, Domain) {
    let account = Account {
        id,
        auth_id: format!("MA{id:018}"),
        auth_token: Secret::new(format!("CLEAR-auth-token-{id}")),
        bandwidth_user: format!("u-{id}"),
        bandwidth_token: Secret::new(format!("t-CLEAR-{id}")),
        bandwidth_secret: Secret::new(format!("CLEAR-secret-{id}")),
        name: format!("account {id}"),
        parent: None,
        domain: id * 1000,
        trunk: None,
        country_code: None,
        allow_external_callers: true,
        enabled: true,
        created: at(0),
    };
    (
        account,
        domain(
            id * 1000,
            id,
            &format!("d{id}.example.net"),
            DomainKind::Account,
        ),
    )
}

pub fn domain(id: Id, account: Id, name: &str, kind: DomainKind) -> Domain {
    Domain {
        id,
        public_id: format!("rd-{id}"),
        account,
        name: name.into(),
        sip_domain: name.into(),
        realm: name.into(),
        description: None,
        kind,
        created: at(0),
    }
}

pub fn endpoint(id: Id, account: Id, user: &str) -> Endpoint {
    Endpoint {
        id,
        public_id: format!("re-{id}"),
        account,
        flavor: Flavor::Vobiz,
        domain: account * 1000,
        user: user.into(),
        submitted_user: user.into(),
        label: format!("label of {user}"),
        description: None,
        password: Secret::new(format!("CLEAR-password-{id}")),
        application: None,
        enabled: true,
        ring: Ring::Latest,
        permissions: Permissions {
            video: false,
            ..Permissions::default()
        },
        created: at(1),
        updated: at(2),
    }
}

pub fn binding(endpoint: Id, key: &str) -> Binding {
    Binding {
        endpoint,
        key: key.into(),
        contact: format!("sip:{endpoint}@192.0.2.1:5060;ob"),
        call_id: "call-id".into(),
        cseq: 4_294_967_295,
        expires_at: at(3600),
        logged_in: at(0),
        transport: Transport::Ws,
        local: "[2001:db8::1]:5060".parse().expect("an address"),
        remote: "192.0.2.1:5060".parse().expect("an address"),
        flow: u64::MAX,
        path: None,
        user_agent: "phone 1.0".into(),
        q: 1000,
        instance: Some("<urn:uuid:00000000-0000-1000-8000-000000000001>".into()),
        reg_id: Some(1),
    }
}

pub fn call(number: u128, account: Id, ended: Option<i64>) -> CallRow {
    CallRow {
        uuid: Uuid::from_u128(number),
        account,
        parent: None,
        leg: 0,
        flavor: Flavor::Plivo,
        direction: CallDirection::Inbound,
        from: "sip:alice@example.net".into(),
        to: "15550100".into(),
        endpoint: Some(5),
        application: None,
        call_id: "0abc".into(),
        source_ip: Some("2001:db8::7".parse().expect("an address")),
        started: at(0),
        rang: None,
        answered: Some(at(2)),
        ended: ended.map(at),
        bill_duration: ended.unwrap_or(2).abs_diff(2),
        billed_duration: 60,
        status: "completed".into(),
        cause_code: Some(4000),
        cause_name: Some("Normal Hangup".into()),
        switch_cause: Some("NORMAL_CLEARING".into()),
        source: Some("Callee".into()),
        sip_status: None,
        hangup_url: Some("https://hooks.example.com/hangup".into()),
        hangup_method: HttpMethod::Post,
        extra: serde_json::json!({"name": "Alice"}),
    }
}
