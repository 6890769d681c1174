//! The nouns and their tables, on SQLite.
