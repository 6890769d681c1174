//! Paging and filters that all lists share. A filter's text is always literal: no wild cards, case counts.

use sqlx::{QueryBuilder, Sqlite};

/// Which part of a list is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// The most rows to return.
    pub limit: u32,
    /// How many rows to pass over.
    pub offset: u64,
}

/// One page of a list, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paged<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// How many rows the filter has in all.
    pub total: u64,
}

impl<T> Paged<T> {
    /// Turns each row into something else.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Paged<U> {
        Paged {
            items: self.items.into_iter().map(each).collect(),
            total: self.total,
        }
    }
}

/// How a text column is compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Match {
    /// The column is this text.
    Exact(String),
    /// The column begins with this text.
    StartsWith(String),
    /// The column contains this text.
    Contains(String),
}

/// How a number or a time is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Comparison {
    fn sql(self) -> &'static str {
        match self {
            Comparison::Equal => " = ",
            Comparison::Greater => " > ",
            Comparison::GreaterOrEqual => " >= ",
            Comparison::Less => " < ",
            Comparison::LessOrEqual => " <= ",
        }
    }
}

/// Adds `AND …` for a text column.
pub(crate) fn and_match(query: &mut QueryBuilder<Sqlite>, column: &'static str, wanted: &Match) {
    match wanted {
        Match::Exact(text) => {
            query
                .push(" AND ")
                .push(column)
                .push(" = ")
                .push_bind(text.clone());
        }
        Match::StartsWith(text) => {
            query
                .push(" AND substr(")
                .push(column)
                .push(", 1, length(")
                .push_bind(text.clone());
            query.push(")) = ").push_bind(text.clone());
        }
        Match::Contains(text) => {
            query
                .push(" AND instr(")
                .push(column)
                .push(", ")
                .push_bind(text.clone())
                .push(") > 0");
        }
    }
}

/// Adds `AND …` for a number column.
pub(crate) fn and_compare(
    query: &mut QueryBuilder<Sqlite>,
    column: &'static str,
    how: Comparison,
    value: i64,
) {
    query
        .push(" AND ")
        .push(column)
        .push(how.sql())
        .push_bind(value);
}

/// Adds the end of a paged query.
pub(crate) fn paged(query: &mut QueryBuilder<Sqlite>, page: Page) {
    query.push(" LIMIT ").push_bind(i64::from(page.limit));
    query
        .push(" OFFSET ")
        .push_bind(i64::try_from(page.offset).unwrap_or(i64::MAX));
}
