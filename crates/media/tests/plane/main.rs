//! The plane from outside, in virtual time: descriptions in and out, packets through, and what must not get through.

mod foreign;
mod hostile;
mod negotiation;
mod relay;
mod rig;
