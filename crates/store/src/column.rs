//! Columns whose values are ours: closed sets as words, times as microseconds, numbers that SQLite keeps signed.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Flavor;
use crate::application::{ApplicationKind, HttpMethod};
use crate::binding::Transport;
use crate::call::CallDirection;
use crate::domain::DomainKind;
use crate::endpoint::Ring;
use crate::error::{Error, Result};
use crate::policy::PolicyScope;

/// A closed set that a column holds as a word.
pub(crate) trait Word: Copy + Sized + 'static {
    /// All members with their words.
    const WORDS: &'static [(Self, &'static str)];

    /// The word of a member.
    fn word(self) -> &'static str;

    /// The member that a column holds.
    fn read(row: &SqliteRow, column: &'static str) -> Result<Self> {
        let text: &str = row.try_get(column)?;
        Self::WORDS
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(member, _)| *member)
            .ok_or(Error::Corrupt { column })
    }

    /// The member that a column holds, if any.
    fn read_optional(row: &SqliteRow, column: &'static str) -> Result<Option<Self>> {
        let text: Option<&str> = row.try_get(column)?;
        text.map(|_| Self::read(row, column)).transpose()
    }
}

macro_rules! words {
    ($set:ty: $($member:ident = $word:literal),+ $(,)?) => {
        impl Word for $set {
            const WORDS: &'static [(Self, &'static str)] = &[$((<$set>::$member, $word)),+];

            fn word(self) -> &'static str {
                match self { $(<$set>::$member => $word),+ }
            }
        }
    };
}

words!(Flavor: Plivo = "plivo", Vobiz = "vobiz", Bandwidth = "bandwidth");
words!(DomainKind: Account = "account", Bandwidth = "bandwidth");
words!(ApplicationKind: Xml = "xml", DirectDial = "direct-dial");
words!(HttpMethod: Get = "GET", Post = "POST");
words!(PolicyScope: Account = "account", Domain = "domain", Endpoint = "endpoint");
words!(Ring: Latest = "latest", All = "all");
words!(Transport: Udp = "udp", Tcp = "tcp", Tls = "tls", Ws = "ws", Wss = "wss");
words!(CallDirection: Inbound = "inbound", Outbound = "outbound");

/// The time that a column holds.
pub(crate) fn time(row: &SqliteRow, column: &'static str) -> Result<Timestamp> {
    let micros: i64 = row.try_get(column)?;
    Timestamp::from_microsecond(micros).map_err(|_| Error::Corrupt { column })
}

/// The time that a column holds, if any.
pub(crate) fn optional_time(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>> {
    let micros: Option<i64> = row.try_get(column)?;
    micros
        .map(Timestamp::from_microsecond)
        .transpose()
        .map_err(|_| Error::Corrupt { column })
}

/// Reads a column that holds something in its text form.
pub(crate) fn parsed<T: std::str::FromStr>(row: &SqliteRow, column: &'static str) -> Result<T> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| Error::Corrupt { column })
}

/// Reads an optional column that holds something in its text form.
pub(crate) fn optional_parsed<T: std::str::FromStr>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(str::parse)
        .transpose()
        .map_err(|_| Error::Corrupt { column })
}

/// Reads a column whose numbers are narrower than SQLite's.
pub(crate) fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T> {
    let wide: i64 = row.try_get(column)?;
    T::try_from(wide).map_err(|_| Error::Corrupt { column })
}

/// Reads an optional column whose numbers are narrower than SQLite's.
pub(crate) fn optional_number<T: TryFrom<i64>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>> {
    let wide: Option<i64> = row.try_get(column)?;
    wide.map(T::try_from)
        .transpose()
        .map_err(|_| Error::Corrupt { column })
}

/// Reads a column of JSON.
pub(crate) fn json(row: &SqliteRow, column: &'static str) -> Result<serde_json::Value> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|_| Error::Corrupt { column })
}
