//! The command line; a shim branches off before anything else is built.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == "shim") {
        return jr::runners::shim::main();
    }
    jr::cli::main()
}
