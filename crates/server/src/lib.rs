//! Everything of the binary that touches the operating system.
