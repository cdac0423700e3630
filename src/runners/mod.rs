//! L2. How things really run: a shim holds the processes, so that they outlive the daemon.
//!
//! ```text
//! daemon ──Start──▶ shim ──clone3──▶ process ──writes──▶ <base>.out, <base>.err
//!        ◀─Ended───      ──appends─▶ journal, <base>.idx
//! ```
//!
//! docs/shim.md has the protocol, the journal's bytes and what each death leaves behind.

pub mod bond;
pub mod capture;
pub mod fence;
pub mod linux;
pub mod ports;
pub mod process;
pub mod protocol;
pub mod shim;
pub mod wire;
