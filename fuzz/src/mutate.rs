//! Changes bytes: a few small mutations of one input, parts of another, and words from the dictionary.

use rand_chacha::ChaCha12Rng;
use rand_core::RngCore;

use crate::dictionary::WORDS;

/// The largest input that is made, in octets.
const LARGEST: usize = 64 * 1024;

/// A number below `bound`, which is at least 1.
pub fn below(random: &mut ChaCha12Rng, bound: usize) -> usize {
    let bound = u64::try_from(bound.max(1)).unwrap_or(1);
    usize::try_from(random.next_u64() % bound).unwrap_or_default()
}

/// Makes a new input from one of the corpus, and parts of `other`.
pub fn mutate(random: &mut ChaCha12Rng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=below(random, 6) {
        step(random, &mut bytes, other);
    }
    bytes.truncate(LARGEST);
    bytes
}

fn step(random: &mut ChaCha12Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = below(random, bytes.len() + 1);
    let until = (at + 1 + below(random, 16)).min(bytes.len());
    match below(random, 10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << below(random, 8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next_u32().to_le_bytes()[0];
            }
        }
        2 => {
            let word = WORDS[below(random, WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
        3 => {
            let word = WORDS[below(random, WORDS.len())];
            bytes.splice(at..until.max(at), word.bytes());
        }
        4 => {
            bytes.drain(at..until.max(at));
        }
        5 => {
            let part = bytes[at..until.max(at)].to_vec();
            let times = 1 + below(random, 40);
            let many: Vec<u8> = part
                .iter()
                .copied()
                .cycle()
                .take(part.len() * times)
                .collect();
            bytes.splice(at..at, many);
        }
        6 => bytes.truncate(at),
        7 => {
            let from = below(random, other.len() + 1);
            let to = (from + below(random, 200)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        8 => swap_lines(random, bytes),
        _ => {
            let digits = (random.next_u64() >> below(random, 64)).to_string();
            bytes.splice(at..until.max(at), digits.bytes());
        }
    }
}

/// Moves a line: headers in another order, twice, or under another start line.
fn swap_lines(random: &mut ChaCha12Rng, bytes: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if lines.is_empty() {
        return;
    }
    let (from, to) = (below(random, lines.len()), below(random, lines.len()));
    let line = lines[from].clone();
    if below(random, 2) == 0 {
        lines.remove(from);
    }
    lines.insert(to.min(lines.len()), line);
    *bytes = lines.concat();
}
