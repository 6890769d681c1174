//! The rules that hold in every dialect: who owns what, which names are free, what a change brings with it.

mod accounts;
mod applications;
mod endpoints;
mod trunks;

use std::sync::Arc;

use jiff::Timestamp;
use offhook_core::directory::{Directory, NewAccount, NewApplication, NewEndpoint, Page};
use offhook_core::error::Error;
use offhook_core::{Clock, Location, Settings};
use store::{
    Account, CallDirection, CallRow, Config, Durability, Flavor, HttpMethod, Id, Permissions, Ring,
    SealKey, Store,
};
use uuid::Uuid;

const ALL: Page = Page {
    limit: 100,
    offset: 0,
};
const DOMAIN: &str = "sip.example.net";
const ENDPOINT: Error = Error::NotFound { what: "endpoint" };

pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) store: Store,
    pub(crate) settings: Arc<Settings>,
    pub(crate) one: Arc<Account>,
    pub(crate) two: Arc<Account>,
}

async fn load(store: &Store, settings: &Arc<Settings>) -> Directory {
    let location = Location::new(&store);
    Directory::load(store.clone(), Arc::clone(settings), location, Clock::System)
        .await
        .expect("the directory loads")
}

async fn world() -> World {
    let key = SealKey::random().expect("a key");
    let config = Config {
        url: "sqlite::memory:".into(),
        durability: Durability::Process,
        key,
    };
    let store = Store::open(config).await.expect("the store opens");
    let settings = Arc::new(Settings {
        own_addresses: vec![
            "192.0.2.9:5060".parse().expect("an address"),
            "[2001:db8::9]:5060".parse().expect("one"),
        ],
        ..Settings::new(DOMAIN)
    });
    let directory = load(&store, &settings).await;
    let one = directory
        .create_account(NewAccount::named("one"))
        .await
        .expect("an account");
    let two = directory
        .create_account(NewAccount::named("two"))
        .await
        .expect("an account");
    World {
        directory,
        store,
        settings,
        one,
        two,
    }
}

fn named(user: &str) -> NewEndpoint {
    NewEndpoint {
        flavor: Flavor::Vobiz,
        domain: None,
        user: user.into(),
        append_digits: false,
        label: format!("{user}'s phone"),
        description: None,
        password: format!("secret of {user}"),
        application: None,
        default_application: true,
        enabled: true,
        ring: Ring::Latest,
        permissions: Permissions::default(),
    }
}

fn application(name: &str) -> NewApplication {
    NewApplication {
        default_endpoint_app: false,
        ..NewApplication::direct_dial(name)
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn call(number: u8, account: Id) -> CallRow {
    CallRow {
        uuid: Uuid::from_u128(number.into()),
        account,
        parent: None,
        leg: 0,
        flavor: Flavor::Plivo,
        direction: CallDirection::Inbound,
        from: "alice".into(),
        to: "bob".into(),
        endpoint: None,
        application: None,
        call_id: String::new(),
        source_ip: None,
        started: second(10),
        rang: None,
        answered: Some(second(10)),
        ended: Some(second(10 + i64::from(number))),
        bill_duration: number.into(),
        billed_duration: 60,
        status: "completed".into(),
        cause_code: None,
        cause_name: None,
        switch_cause: None,
        source: None,
        sip_status: None,
        hangup_url: None,
        hangup_method: HttpMethod::Post,
        extra: serde_json::Value::Null,
    }
}
