//! The command line; a shim branches off before anything else is built.
fn main() {}
