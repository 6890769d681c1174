//! `offhook account`: makes and lists accounts without a running server.

use std::fmt::Write;
use std::sync::Arc;

use offhook_core::{Clock, Directory, Error, Location};
use store::Account;

use crate::config::Config;
use crate::data::Data;

/// Opens the directory of a database.
pub async fn directory(config: &Config, data: &Data) -> Result<Directory, Error> {
    let public_url = config.http.public_url.trim_end_matches('/').to_owned();
    let settings = Arc::new(config.settings(public_url));
    Directory::load(
        data.store.clone(),
        settings,
        Location::new(&data.store),
        Clock::System,
    )
    .await
}

/// An account with its credentials.
pub fn describe(account: &Account, domain: Option<&str>) -> String {
    let mut out = String::new();
    let lines = [
        ("name", account.name.as_str()),
        ("auth id", &account.auth_id),
        ("auth token", account.auth_token.expose()),
        ("SIP domain", domain.unwrap_or_default()),
        ("Bandwidth user", &account.bandwidth_user),
        ("Bandwidth token", account.bandwidth_token.expose()),
        ("Bandwidth secret", account.bandwidth_secret.expose()),
    ];
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<17} {value}");
    }
    out
}

/// One line for each account, without its secrets.
pub fn list(accounts: &[(Arc<Account>, String)]) -> String {
    let mut out = format!(
        "{:<21} {:<8} {:<30} NAME\n",
        "AUTH ID", "STATE", "SIP DOMAIN"
    );
    for (account, domain) in accounts {
        let state = if account.enabled {
            "enabled"
        } else {
            "disabled"
        };
        let _ = writeln!(
            out,
            "{:<21} {state:<8} {domain:<30} {}",
            account.auth_id, account.name
        );
    }
    out
}
