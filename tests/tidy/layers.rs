//! Who may know whom: modules, crates, the standard library, the terminal.

use crate::source::{File, Finding, from_root, module_of, paths, tokens};

/// A module of the crate's root, its layer, and the modules that it may name.
///
/// The rows stand bottom up and name only rows above themselves in this list, so dependencies
/// point downward and cannot go round (`the_table_itself_points_downward`).
pub(crate) const MODULES: &[(&str, u8, &[&str])] = &[
    ("limits", 0, &[]),
    // Deliberate bugs that the tests must catch, each asked for by name where it would be.
    ("mutants", 0, &[]),
    ("model", 0, &["limits", "mutants"]),
    // Clocks and what else every layer above needs of the system.
    ("sys", 0, &["limits", "model"]),
    ("log", 1, &["limits", "mutants", "model", "sys"]),
    ("config", 1, &["limits", "model", "sys"]),
    ("projections", 2, &["limits", "mutants", "model", "sys", "log"]),
    ("runners", 2, &["limits", "mutants", "model", "sys", "log"]),
    ("bundle", 2, &["limits", "model", "sys", "log", "projections"]),
    ("daemon", 3, &["limits", "model", "sys", "log", "config", "projections", "runners"]),
    (
        "cli",
        4,
        &["limits", "model", "sys", "log", "config", "projections", "runners", "bundle", "daemon"],
    ),
];

/// What `main.rs` may name: the command line, and the shim that branches off before it.
const MAIN_MAY_NAME: &[&[&str]] = &[&["cli"], &["runners", "shim"]];

/// A crate and where it may be named; a path ending in `/` is a directory, one without an ending
/// is both `x.rs` and `x/`. Every dependency has a row.
pub(crate) const CRATES: &[(&str, &[&str])] = &[
    ("serde", &["src/"]),
    ("thiserror", &["src/"]),
    ("redb", &["src/log/", "src/projections/"]),
    // The second file holds the messages between daemon and shim, until `codec` serves them too.
    ("bincode", &["src/log/codec.rs", "src/runners/wire.rs"]),
    ("libc", &["src/runners/linux"]),
    (
        "blake3",
        &[
            "src/log/",
            "src/config/",
            "src/projections/",
            "src/runners/",
            "src/bundle/",
            "src/daemon/",
        ],
    ),
    (
        "rustix",
        &[
            "src/sys/",
            "src/log/",
            "src/config/",
            "src/projections/",
            "src/runners/",
            "src/daemon/",
            "src/cli/",
        ],
    ),
    ("serde_json", &["src/config/", "src/projections/", "src/bundle/", "src/daemon/", "src/cli/"]),
    ("zstd", &["src/bundle/"]),
    ("notify", &["src/config/watch.rs", "src/daemon/watching/bell.rs"]),
    ("ignore", &["src/daemon/watching/rules.rs"]),
    ("toml", &["src/config/"]),
    ("toml_edit", &["src/config/"]),
    ("schemars", &["src/config/"]),
    ("annotate_snippets", &["src/cli/"]),
    ("strsim", &["src/config/"]),
    ("tokio", &["src/daemon/", "src/runners/probe/", "src/runners/linux/pidfd.rs"]),
    ("hyper", &["src/daemon/", "src/runners/probe/"]),
    ("hyper_util", &["src/daemon/", "src/runners/probe/"]),
    ("http_body_util", &["src/daemon/", "src/runners/probe/"]),
    ("bytes", &["src/daemon/", "src/runners/probe/"]),
    ("globset", &["src/projections/", "src/daemon/", "src/cli/"]),
    // run_view.rs writes times as `--json` has them, for the daemon and for files alike.
    (
        "jiff",
        &["src/sys/", "src/config/", "src/daemon/", "src/cli/", "src/projections/run_view.rs"],
    ),
    ("clap", &["src/cli/"]),
    ("clap_mangen", &["src/cli/command/man.rs"]),
    ("unicode_width", &["src/cli/text.rs"]),
    ("crossterm", &["src/cli/"]),
    ("shlex", &["src/cli/"]),
    ("regex", &["src/bundle/redact.rs", "src/cli/", "src/config/check.rs", "src/runners/probe/"]),
    ("memchr", &["src/projections/progress/"]),
    ("similar", &["src/cli/"]),
];

/// What the pure layer must not name: the world, and the time of day.
const IMPURE_STD: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::os::unix::net",
    "std::os::unix::fs",
    "std::os::unix::process",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
];

/// Modules that compute only.
const PURE: &[&str] = &["src/model/", "src/limits.rs"];

/// Dependencies point downward, or stay within a module.
pub(crate) fn layers(files: &[File]) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in sources(files).filter(|file| file.path != "src/lib.rs") {
        for path in paths(&file.production()) {
            if let Some(target) = from_root(&file.path, &path)
                && let Err(what) = may_name(&file.path, &target)
            {
                out.push(file.finding(path.line, what));
            }
        }
        if let Some(own) = module_of(&file.path).first()
            && row(own).is_none()
        {
            out.push(file.finding(1, format!("module {own} needs a row in tests/tidy/layers.rs")));
        }
    }
    out
}

fn may_name(file: &str, target: &[String]) -> Result<(), String> {
    let Some(to) = target.first() else { return Ok(()) };
    if file == "src/main.rs" {
        let allowed = |words: &&[&str]| {
            target.len() >= words.len() && words.iter().zip(target).all(|(a, b)| a == b)
        };
        let refusal = || format!("main.rs may not name {}", target.join("::"));
        return MAIN_MAY_NAME.iter().any(allowed).then_some(()).ok_or_else(refusal);
    }
    let from = module_of(file).first().cloned().unwrap_or_default();
    if from == *to {
        return Ok(());
    }
    let Some((_, to_layer, _)) = row(to) else {
        return Err(format!("crate::{to} is no module of the table in tests/tidy/layers.rs"));
    };
    match row(&from) {
        Some((_, _, may)) if may.contains(&to.as_str()) => Ok(()),
        Some((_, layer, _)) => {
            Err(format!("{from} (L{layer}) may not name {} (L{to_layer})", target.join("::")))
        }
        None => Ok(()),
    }
}

fn row(module: &str) -> Option<&'static (&'static str, u8, &'static [&'static str])> {
    MODULES.iter().find(|(name, ..)| *name == module)
}

/// Each third-party crate is named only where the table has it, and each has a row.
pub(crate) fn crates(files: &[File]) -> Vec<Finding> {
    let mut out = Vec::new();
    let manifest = files.iter().find(|file| file.path == "Cargo.toml");
    let dependencies = manifest.map(|file| dependencies(&file.text)).unwrap_or_default();
    for (name, line) in &dependencies {
        if let Some(file) = manifest
            && !CRATES.iter().any(|(known, _)| known == name)
        {
            out.push(file.finding(*line, format!("{name} needs a row in tests/tidy/layers.rs")));
        }
    }
    for file in sources(files) {
        for path in paths(&file.production()) {
            let head = path.segments[0].as_str();
            if let Some((_, places)) = CRATES.iter().find(|(name, _)| *name == head)
                && !places.iter().any(|place| lies_in(&file.path, place))
            {
                let places = places.join(", ");
                out.push(file.finding(path.line, format!("{head} may be named only in {places}")));
            }
        }
    }
    out
}

fn lies_in(path: &str, place: &str) -> bool {
    if place.ends_with('/') {
        return path.starts_with(place);
    }
    path == place || path == format!("{place}.rs") || path.starts_with(&format!("{place}/"))
}

/// The names in `[dependencies]`, as code spells them, with their lines.
fn dependencies(manifest: &str) -> Vec<(String, usize)> {
    let (mut out, mut inside) = (Vec::new(), false);
    for (line, number) in manifest.lines().zip(1..) {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("dev-dependencies");
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            out.push((name.replace('-', "_"), number));
        }
    }
    out
}

/// The pure layer computes only, from its arguments.
pub(crate) fn purity(files: &[File]) -> Vec<Finding> {
    let mut out = Vec::new();
    let pure = |file: &&File| PURE.iter().any(|place| file.path.starts_with(place));
    for file in sources(files).filter(pure) {
        for path in paths(&file.production()) {
            let name = path.segments.join("::").replacen("core::", "std::", 1);
            let is = |bad: &&&str| name == **bad || name.starts_with(&format!("{bad}::"));
            if let Some(bad) = IMPURE_STD.iter().find(is) {
                out.push(file.finding(path.line, format!("{bad} does not belong in a pure layer")));
            }
            let known = CRATES.iter().any(|(name, _)| *name == path.segments[0]);
            if known && !matches!(path.segments[0].as_str(), "serde" | "thiserror") {
                let head = &path.segments[0];
                out.push(
                    file.finding(path.line, format!("{head} does not belong in a pure layer")),
                );
            }
        }
    }
    out
}

/// Only `src/cli/ui.rs` prints, and only the command line knows stdout.
pub(crate) fn printing(files: &[File]) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in sources(files).filter(|file| file.path != "src/cli/ui.rs") {
        let production = file.production();
        for pair in tokens(&production).windows(2) {
            let is_print =
                matches!(pair[0].text.as_str(), "print" | "println" | "eprint" | "eprintln");
            if is_print && pair[1].text == "!" {
                let what = format!("{}! belongs in src/cli/ui.rs", pair[0].text);
                out.push(file.finding(pair[0].line, what));
            }
        }
        let knows_stdout = |path: &crate::source::Path| path.segments.ends_with(&own("io::stdout"));
        if !file.path.starts_with("src/cli/") {
            for path in paths(&production).into_iter().filter(knows_stdout) {
                out.push(file.finding(path.line, "stdout belongs to src/cli"));
            }
        }
    }
    out
}

fn own(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

/// `unsafe` stands only beside the system calls.
pub(crate) fn unsafe_code(files: &[File]) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in sources(files).filter(|file| !lies_in(&file.path, "src/runners/linux")) {
        for token in tokens(&file.code()).iter().filter(|token| token.text == "unsafe") {
            out.push(file.finding(token.line, "unsafe belongs in src/runners/linux"));
        }
    }
    out
}

fn sources(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.is_rust() && file.path.starts_with("src/"))
}

#[test]
fn the_table_itself_points_downward() {
    for (place, (module, layer, may)) in MODULES.iter().enumerate() {
        for name in *may {
            let (below, (_, under, _)) = MODULES
                .iter()
                .enumerate()
                .find(|(_, (other, ..))| other == name)
                .expect("the table names its own rows only");
            assert!(below < place && under <= layer, "{module} → {name}");
        }
    }
}

#[cfg(test)]
mod bad_samples {
    use super::{File, crates, layers, printing, purity, unsafe_code};

    fn bites(rule: fn(&[File]) -> Vec<super::Finding>, path: &str, text: &str) -> bool {
        let manifest = File::new("Cargo.toml", "[dependencies]\nredb = \"4\"\n");
        !rule(&[manifest, File::new(path, text)]).is_empty()
    }

    #[test]
    fn layers_bite_upward_and_sideways() {
        assert!(bites(layers, "src/model/state.rs", "use crate::log::Store;"));
        assert!(bites(layers, "src/model/state.rs", "use super::super::log::Store;"));
        assert!(bites(layers, "src/log/mod.rs", "fn f() { crate::projections::runs::all(); }"));
        assert!(bites(layers, "src/log/mod.rs", "use crate::{limits, model::{Event}, config};"));
        assert!(bites(layers, "src/projections/runs.rs", "use crate::runners::Shim;"));
        assert!(bites(layers, "src/runners/mod.rs", "use crate::projections::Runs;"));
        assert!(bites(layers, "src/daemon/mod.rs", "type X = crate::cli::Ui;"));
        assert!(bites(layers, "src/runners/mod.rs", "use crate::*;"));
        assert!(bites(layers, "src/main.rs", "fn main() { jr::daemon::run(); }"));
        assert!(bites(layers, "src/main.rs", "use jr::runners::process;"));
        assert!(bites(layers, "src/extras/mod.rs", "//! A module that nobody placed."));
    }

    #[test]
    fn layers_allow_what_points_downward() {
        assert!(!bites(
            layers,
            "src/runners/mod.rs",
            "use crate::log::codec; use super::model::X;"
        ));
        assert!(!bites(
            layers,
            "src/projections/runs.rs",
            "use crate::{log::Store, model::Event};"
        ));
        assert!(!bites(layers, "src/log/store.rs", "use super::codec; use crate::log::chain;"));
        assert!(!bites(
            layers,
            "src/main.rs",
            "use jr::cli; fn main() { jr::runners::shim::go() }"
        ));
        assert!(!bites(
            layers,
            "src/log/mod.rs",
            "// crate::cli\nconst X: &str = \"crate::cli::x\";"
        ));
        assert!(!bites(layers, "src/log/mod.rs", "#[cfg(test)]\nmod t { use crate::daemon::X; }"));
    }

    #[test]
    fn crates_stay_in_their_places() {
        assert!(bites(crates, "src/daemon/mod.rs", "use redb::Database;"));
        assert!(bites(crates, "src/runners/wire2.rs", "fn f() { bincode::encode_to_vec(); }"));
        assert!(bites(crates, "src/log/store.rs", "use bincode;"));
        assert!(bites(crates, "src/runners/linux2.rs", "type X = libc::pid_t;"));
        assert!(bites(crates, "src/runners/mod.rs", "use tokio::net::UnixStream;"));
        assert!(bites(crates, "src/daemon/mod.rs", "#[derive(clap::Args)] struct X;"));
        assert!(bites(crates, "src/log/mod.rs", "use ::notify::Watcher;"));
        assert!(!bites(crates, "src/log/mod.rs", "use redb::Database; use self::notify::X;"));
        assert!(!bites(crates, "src/runners/linux/clone.rs", "use libc::c_int;"));
        assert!(!bites(crates, "src/runners/linux.rs", "use libc::c_int;"));
        let new = File::new("Cargo.toml", "[dependencies]\nleft-pad = \"1\"\n");
        assert_eq!(crates(&[new])[0].what, "left_pad needs a row in tests/tidy/layers.rs");
    }

    #[test]
    fn the_model_computes_only() {
        assert!(bites(purity, "src/model/a.rs", "use std::{fmt, fs};"));
        assert!(bites(purity, "src/model/a.rs", "fn f() { std::env::var(\"X\"); }"));
        assert!(bites(purity, "src/model/a.rs", "use std::time::{Duration, Instant};"));
        assert!(bites(purity, "src/limits.rs", "use std::thread;"));
        assert!(bites(purity, "src/model/a.rs", "use blake3::Hasher;"));
        assert!(!bites(
            purity,
            "src/model/a.rs",
            "use std::{fmt, time::Duration}; use serde::Serialize;"
        ));
        assert!(!bites(purity, "src/log/a.rs", "use std::fs;"));
    }

    #[test]
    fn only_the_ui_prints() {
        assert!(bites(printing, "src/cli/mod.rs", "fn f() { println!(\"x\") }"));
        assert!(bites(printing, "src/daemon/mod.rs", "fn f() { std::eprintln!() }"));
        assert!(bites(printing, "src/daemon/mod.rs", "fn f() { io::stdout().lock() }"));
        assert!(!bites(printing, "src/cli/ui.rs", "fn f() { println!(\"x\") }"));
        assert!(!bites(printing, "src/log/mod.rs", "/// `println!()`\nfn println() {}"));
    }

    #[test]
    fn unsafe_is_confined() {
        assert!(bites(unsafe_code, "src/log/mod.rs", "fn f() { unsafe { g() } }"));
        assert!(!bites(unsafe_code, "src/runners/linux/clone.rs", "fn f() { unsafe { g() } }"));
        assert!(!bites(unsafe_code, "src/log/mod.rs", "// unsafe\nfn f() {}"));
    }
}
