//! What happened during one input, as a number.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Collects what happened. Two inputs with the same trace took, as far as can be told, the same way.
#[derive(Default, Debug)]
pub struct Trace(DefaultHasher);

impl Trace {
    /// Notes a step.
    pub fn note(&mut self, step: impl Hash) {
        step.hash(&mut self.0);
    }

    /// Notes a size by its magnitude, so that each length is not news.
    pub fn note_size(&mut self, size: usize) {
        self.note(usize::BITS - size.leading_zeros());
    }

    /// Gives the number.
    pub fn finish(&self) -> u64 {
        self.0.finish()
    }
}
