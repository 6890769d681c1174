//! Calls as ladders: a script in, events fed in virtual time, every output with its time, compared whole.

mod across;
mod aside;
mod dial;
mod dial_media;
mod flows;
mod hangup;
mod hunt;
mod ladder;
mod link;
mod model;
mod races;
mod redirect;
mod reinvite;
mod start;
mod transcript;
mod transfer;
mod trunks;
