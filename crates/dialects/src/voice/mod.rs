//! What Plivo and Vobiz share, because one grew out of the other: the voice documents, the words of callbacks, the record
//! of a finished call. Each of the two hands in what differs.

pub(crate) mod document;
pub(crate) mod message;
pub(crate) mod parameter;
pub(crate) mod record;
