//! A bridge: two legs that hear each other, without decoding. What differs between their descriptions is the payload types.

use crate::session::Session;

/// The payload types of one leg as its peer knows them.
#[derive(Copy, Clone, Debug)]
pub(crate) struct PayloadMap([u8; 128]);

/// Stands for "nobody agreed to this one".
const NONE: u8 = 0xff;

impl Default for PayloadMap {
    fn default() -> Self {
        Self([NONE; 128])
    }
}

impl PayloadMap {
    /// Maps what `from` may send to what `to` asked for, else to what `to` was offered.
    pub(crate) fn between(from: &Session, to: &Session) -> Self {
        let asked = to.in_force().map_or(&[][..], |audio| &audio.codecs);
        let offered = to.ours().map_or(&[][..], |ours| &ours.codecs);
        let mut map = Self::default();
        for codec in from.numbers.all() {
            let found = codec.find_in(asked).or_else(|| codec.find_in(offered));
            if let (Some(found), Some(entry)) = (found, map.0.get_mut(usize::from(codec.number))) {
                *entry = found.number;
            }
        }
        map
    }

    pub(crate) fn get(&self, number: u8) -> Option<u8> {
        self.0
            .get(usize::from(number))
            .copied()
            .filter(|number| *number != NONE)
    }
}
