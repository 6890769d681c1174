//! What is known of an endpoint, gathered from where it is kept.

use store::{Account, CallFilter, CallRow, Page};

use crate::diagnosis::{Attempt, Cause, Diagnosis, Who};
use crate::directory::{EndpointView, Key};
use crate::guard::Blocked;
use crate::registrar::LiveBinding;
use crate::{Application, Error};

/// Finished calls that are looked at.
const CALLS: u32 = 20;

/// All that the findings are drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) endpoint: EndpointView,
    /// The application of its calls: its own, else the account's default.
    pub(crate) application: Option<std::sync::Arc<Application>>,
    /// Whether telephone numbers lead anywhere.
    pub(crate) has_trunk: bool,
    /// Whether strangers may ring it.
    pub(crate) external_callers: bool,
    /// Newest first.
    pub(crate) attempts: Vec<Attempt>,
    /// Attempts under the name that the customer asked for when another one was given, and with the account's own id; newest
    /// first.
    pub(crate) misnamed: Vec<Attempt>,
    /// The sources that tried or asked for it and are blocked at this moment.
    pub(crate) blocked: Vec<Blocked>,
    /// Newest login first.
    pub(crate) bindings: Vec<LiveBinding>,
    /// Its finished legs, last ended first.
    pub(crate) calls: Vec<CallRow>,
}

impl Diagnosis {
    pub(super) async fn evidence(&self, account: &Account, key: &Key) -> Result<Evidence, Error> {
        let view = self.directory.endpoint(account, key).await?;
        let (endpoint, now) = (&view.endpoint, self.clock.now());
        let filter = CallFilter {
            account: account.id,
            endpoint: Some(endpoint.id),
            ..CallFilter::default()
        };
        let page = Page {
            limit: CALLS,
            offset: 0,
        };
        let calls = self.store.calls(&filter, page).await?.items;
        let mut misnamed = match endpoint.user == endpoint.submitted_user {
            true => Vec::new(),
            false => {
                let user = endpoint.submitted_user.clone();
                self.attempts.of(&Who::Stranger(account.id, user))
            }
        };
        let by_account = Who::Stranger(account.id, account.auth_id.clone());
        misnamed.extend(self.attempts.of(&by_account));
        misnamed.retain(|attempt| {
            matches!(
                attempt.cause,
                Cause::UnknownUser | Cause::AccountCredentials
            )
        });
        misnamed.sort_by_key(|attempt| std::cmp::Reverse(attempt.at));
        let default = self.directory.default_application(account.id);
        let attempts = self.attempts.of(&Who::Endpoint(endpoint.id));
        let mut blocked = self.guard.blocked_from(&now, endpoint.id);
        for attempt in &attempts {
            let found = self.guard.blocked(&now, attempt.source.ip());
            blocked.extend(found.filter(|found| !blocked.contains(found)));
        }
        Ok(Evidence {
            blocked,
            application: view.application.clone().or(default),
            has_trunk: account.trunk.is_some(),
            external_callers: account.allow_external_callers,
            attempts,
            misnamed,
            bindings: self.location.live_bindings(endpoint.id, now.wall),
            calls,
            endpoint: view,
        })
    }
}
