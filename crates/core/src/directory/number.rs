//! Telephone numbers that lead to applications: each is one account's, in E.164 digits.

use std::sync::Arc;

use store::{Account, Id, Match, Number, NumberFilter as Rows};

use super::{ATTEMPTS, Directory, Listed, Page, id};
use crate::error::{Error, Why};

/// The most numbers that are added at once.
pub const MAX_AT_ONCE: usize = 100;
/// The longest alias, carrier and region.
const MAX_TEXT: usize = 100;
/// The kinds that vendors' libraries know.
const KINDS: [&str; 7] = [
    "local",
    "tollfree",
    "mobile",
    "fixed",
    "national",
    "shortcode",
    "any",
];

/// New numbers that have all but their digits in common.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NewNumbers {
    /// The numbers, as people write them.
    pub numbers: Vec<String>,
    /// What is asked when somebody calls them; none means the account's default of this moment, `Some(None)` nothing.
    pub application: Option<Option<Id>>,
    /// What people call them.
    pub alias: Option<String>,
    /// Whose network they come from.
    pub carrier: Option<String>,
    /// Where they are at home.
    pub region: Option<String>,
    /// `local`, `tollfree`, …; none means `local`.
    pub kind: Option<String>,
}

/// What is to be different about a number; `Some(None)` takes away.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NumberChange {
    /// What is asked when somebody calls it.
    pub application: Option<Option<Id>>,
    /// What people call it.
    pub alias: Option<Option<String>>,
}

/// Which numbers a list shows; texts are literal.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct NumberFilter {
    pub number_starts: Option<String>,
    pub alias: Option<String>,
    pub kind: Option<String>,
    pub application: Option<Id>,
}

const NOT_FOUND: Error = Error::NotFound { what: "number" };

impl Directory {
    /// Adds numbers, all or none.
    pub async fn create_numbers(
        &self,
        account: &Account,
        new: NewNumbers,
    ) -> Result<Vec<Arc<Number>>, Error> {
        let (directory, account) = (self.clone(), account.clone());
        self.to_the_end(async move {
            let _shared = directory.lock(account.id).read().await;
            directory.insert_numbers(&account, new).await
        })
        .await
    }

    async fn insert_numbers(
        &self,
        account: &Account,
        new: NewNumbers,
    ) -> Result<Vec<Arc<Number>>, Error> {
        if new.numbers.is_empty() {
            return Err(Error::Invalid {
                field: "numbers",
                why: Why::Missing,
            });
        }
        require(
            new.numbers.len() <= MAX_AT_ONCE,
            "numbers",
            "too many at once",
        )?;
        let application = match new.application {
            Some(application) => application,
            None => self.default_number_application(account.id),
        };
        if let Some(id) = application {
            self.require_application(account.id, id)?;
        }
        let kind = new.kind.unwrap_or_else(|| "local".to_owned());
        require(
            KINDS.contains(&kind.as_str()),
            "number_type",
            "it is unknown",
        )?;
        for (text, field) in [
            (&new.alias, "alias"),
            (&new.carrier, "carrier"),
            (&new.region, "region"),
        ] {
            require(
                text.as_deref().is_none_or(is_plain),
                field,
                "it is too long",
            )?;
        }
        let now = self.now();
        let mut numbers = Vec::new();
        for text in &new.numbers {
            let digits = crate::trunks::e164::normalised(account.country_code.as_deref(), text);
            let digits = digits.ok_or_else(|| not_valid("numbers", "one is no number"))?;
            numbers.push(Number {
                id: 0,
                public_id: String::new(),
                number: digits,
                account: account.id,
                application,
                alias: new.alias.clone(),
                carrier: new.carrier.clone(),
                region: new.region.clone(),
                kind: kind.clone(),
                created: now,
                updated: now,
            });
        }
        for _ in 0..ATTEMPTS {
            for number in &mut numbers {
                number.id = id::internal();
                number.public_id = id::public("n");
            }
            match self.0.store.insert_numbers(numbers.clone()).await {
                Ok(()) => {
                    let known = numbers.into_iter().map(|one| self.remember_number(one));
                    return Ok(known.collect());
                }
                Err(store::Error::Taken { columns }) if columns.contains("number.number") => {
                    return Err(Error::Conflict {
                        what: "number",
                        value: new.numbers.join(","),
                    });
                }
                Err(store::Error::Taken { .. }) => {}
                Err(store::Error::Gone) => return Err(gone(application)),
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::busy())
    }

    /// The account's number: by its digits as people write them, or by its `n-…` id.
    pub fn number(&self, account: &Account, name: &str) -> Result<Arc<Number>, Error> {
        let found = if name.starts_with("n-") {
            self.0
                .numbers
                .iter()
                .find(|entry| entry.public_id == name)
                .map(|entry| Arc::clone(entry.value()))
        } else {
            crate::trunks::e164::normalised(account.country_code.as_deref(), name)
                .and_then(|digits| self.known_number(&digits))
        };
        found
            .filter(|number| number.account == account.id)
            .ok_or(NOT_FOUND)
    }

    /// The number with these E.164 digits, whosever it is.
    pub fn known_number(&self, digits: &str) -> Option<Arc<Number>> {
        self.0.numbers.get(digits).map(|number| Arc::clone(&number))
    }

    /// The account's numbers, newest first.
    pub async fn numbers(
        &self,
        account: &Account,
        filter: &NumberFilter,
        page: Page,
    ) -> Result<Listed<Arc<Number>>, Error> {
        let rows = Rows {
            account: account.id,
            number: filter.number_starts.clone().map(Match::StartsWith),
            alias: filter.alias.clone(),
            kind: filter.kind.clone(),
            application: filter.application,
        };
        Ok(self.0.store.numbers(&rows, page).await?.map(Arc::new))
    }

    /// Changes the application or the alias of a number.
    pub async fn update_number(
        &self,
        account: &Account,
        name: &str,
        change: NumberChange,
    ) -> Result<Arc<Number>, Error> {
        let (directory, account, name) = (self.clone(), account.clone(), name.to_owned());
        self.to_the_end(async move {
            let _alone = directory.lock(account.id).write().await;
            let mut number = Number::clone(&*directory.number(&account, &name)?);
            if let Some(application) = change.application {
                if let Some(id) = application {
                    directory.require_application(account.id, id)?;
                }
                number.application = application;
            }
            if let Some(alias) = change.alias {
                require(
                    alias.as_deref().is_none_or(is_plain),
                    "alias",
                    "it is too long",
                )?;
                number.alias = alias;
            }
            number.updated = directory.now();
            match directory.0.store.update_number(number.clone()).await {
                Ok(true) => Ok(directory.remember_number(number)),
                Ok(false) => Err(NOT_FOUND),
                Err(store::Error::Gone) => Err(gone(number.application)),
                Err(other) => Err(other.into()),
            }
        })
        .await
    }

    /// Gives a number up; calls go on.
    pub async fn delete_number(&self, account: &Account, name: &str) -> Result<(), Error> {
        let (directory, account, name) = (self.clone(), account.clone(), name.to_owned());
        self.to_the_end(async move {
            let _alone = directory.lock(account.id).write().await;
            let number = directory.number(&account, &name)?;
            if !directory.0.store.delete_number(number.id).await? {
                return Err(NOT_FOUND);
            }
            directory.0.numbers.remove(&number.number);
            Ok(())
        })
        .await
    }

    /// How many numbers ask an application.
    pub fn numbers_with_application(&self, application: Id) -> usize {
        let asks = |number: &Number| number.application == Some(application);
        self.0.numbers.iter().filter(|entry| asks(entry)).count()
    }

    fn default_number_application(&self, account: Id) -> Option<Id> {
        self.0.default_number.get(&account).map(|id| *id)
    }

    pub(super) fn remember_number(&self, number: Number) -> Arc<Number> {
        let number = Arc::new(number);
        self.0
            .numbers
            .insert(number.number.clone(), Arc::clone(&number));
        number
    }

    /// Numbers stay when their application goes, and lead nowhere.
    pub(super) fn detach_numbers(&self, application: Id) {
        for mut entry in self.0.numbers.iter_mut() {
            if entry.application == Some(application) {
                let mut number = Number::clone(&entry);
                number.application = None;
                *entry = Arc::new(number);
            }
        }
    }
}

fn gone(application: Option<Id>) -> Error {
    Error::Invalid {
        field: "application",
        why: Why::NotValid(format!(
            "there is no application {}",
            application.unwrap_or_default()
        )),
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control)
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
