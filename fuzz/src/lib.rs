//! Fuzz targets, one for each parser and each machine, and a loop that mutates a corpus against them.
//!
//! A target takes bytes, checks what must hold for all bytes, and gives a *trace*: a number that stands for what happened.
//! Inputs with a trace not seen before join the corpus of the run, which steers the loop without instrumented code, so that
//! it runs on a stable compiler. `tests/corpus.rs` runs each target over its corpus files; `cargo xtask fuzz` runs the loop.

pub mod dictionary;
pub mod mutate;
pub mod run;
pub mod targets;
pub mod trace;
