//! The shim's command line: `jr shim --dir DIR [--socket PATH] [--bound-to DIR]
//! [--tracking auto|subreaper] [--idle-exit-ms N] [--nofile N]`. The daemon composes it; people do
//! not type it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::limits;

/// What a shim is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// Its own directory, which must exist: lock, journal. Its name is the shim's id.
    pub dir: PathBuf,
    /// Where it listens; `socket` in its directory if nothing is said.
    pub socket: PathBuf,
    /// Never use a cgroup.
    pub no_cgroup: bool,
    /// Holding nothing and without a daemon it ends after this.
    pub idle_exit_ms: u64,
    /// Soft limit of open files that the children get.
    pub nofile: Option<u64>,
    /// It ends with its first connection, and all that it has; then this directory is left
    /// ([`crate::runners::bond`]).
    pub bound_to: Option<PathBuf>,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArgs {
    /// A word that is not an option, or an option without a value.
    #[error("unexpected argument {0:?}")]
    Unexpected(OsString),
    /// `--dir` is not there.
    #[error("--dir is missing")]
    NoDir,
}

impl Args {
    /// A shim in `dir` with the defaults.
    pub fn new(dir: PathBuf) -> Self {
        let socket = dir.join("socket");
        let idle_exit_ms = limits::SHIM_IDLE_EXIT_MS;
        Self { dir, socket, no_cgroup: false, idle_exit_ms, nofile: None, bound_to: None }
    }

    /// Reads the words after `jr shim`.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, BadArgs> {
        let mut words = words.into_iter();
        let mut args = Self::new(PathBuf::new());
        let mut socket = None;
        while let Some(option) = words.next() {
            let Some(value) = words.next() else { return Err(BadArgs::Unexpected(option)) };
            let number = || value.to_str().and_then(|text| text.parse().ok());
            match (option.to_str(), value.to_str()) {
                (Some("--dir"), _) => args.dir = value.into(),
                (Some("--socket"), _) => socket = Some(value.into()),
                (Some("--bound-to"), _) => args.bound_to = Some(value.into()),
                (Some("--tracking"), Some("auto")) => args.no_cgroup = false,
                (Some("--tracking"), Some("subreaper")) => args.no_cgroup = true,
                (Some("--idle-exit-ms"), _) if number().is_some() => {
                    args.idle_exit_ms = number().unwrap_or_default();
                }
                (Some("--nofile"), _) if number().is_some() => args.nofile = number(),
                _ => return Err(BadArgs::Unexpected(option)),
            }
        }
        if args.dir.as_os_str().is_empty() {
            return Err(BadArgs::NoDir);
        }
        args.socket = socket.unwrap_or_else(|| args.dir.join("socket"));
        Ok(args)
    }

    /// The words that [`Self::parse`] reads back.
    pub fn to_words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--dir".into(), self.dir.clone().into()];
        words.extend(["--socket".into(), self.socket.clone().into()]);
        if let Some(root) = &self.bound_to {
            words.extend(["--bound-to".into(), root.clone().into()]);
        }
        if self.no_cgroup {
            words.extend(["--tracking".into(), "subreaper".into()]);
        }
        words.extend(["--idle-exit-ms".into(), self.idle_exit_ms.to_string().into()]);
        if let Some(nofile) = self.nofile {
            words.extend(["--nofile".into(), nofile.to_string().into()]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_bad_ones_are_named() {
        let mut args = Args::new("/a".into());
        assert_eq!(Args::parse(args.to_words()), Ok(args.clone()));
        let bound_to = Some("/b".into());
        args = Args { no_cgroup: true, nofile: Some(9), idle_exit_ms: 1, bound_to, ..args };
        assert_eq!(Args::parse(args.to_words()), Ok(args));
        assert_eq!(Args::parse([]), Err(BadArgs::NoDir));
        for bad in [&["--dir"][..], &["--nofile", "x"], &["--tracking", "magic"], &["run", "x"]] {
            let words = bad.iter().map(OsString::from);
            assert_eq!(Args::parse(words), Err(BadArgs::Unexpected(bad[0].into())));
        }
    }
}
