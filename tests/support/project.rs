//! A directory with a `jr.toml`, and an environment of its own.
#![allow(clippy::allow_attributes, dead_code, reason = "not every test uses every helper")]

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::home::{Home, until, until_so};

/// A command that sleeps until it is stopped.
pub(crate) const STAYS: &str = "command = [\"sleep\", \"1000\"]\n";

/// It is down in the end.
pub(crate) struct Project {
    pub(crate) home: Home,
    pub(crate) directory: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new(services: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let project = Self { home: Home::new(), directory };
        project.declare(services);
        project
    }

    pub(crate) fn declare(&self, services: &str) {
        let head = "[project]\nname = \"p\"\n[environments.local]\ntype = \"local\"\n";
        self.write("jr.toml", &format!("{head}{services}"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    pub(crate) fn jr(&self, words: &[&str]) -> Output {
        let mut command = self.home.command(words);
        command.current_dir(self.directory.path());
        command.output().expect("jr runs")
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let output = self.jr(&[words, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What `jr status` says of a service's first replica.
    pub(crate) fn item(&self, service: &str) -> Value {
        let status = self.json(&["status"]);
        let items = status["items"].as_array().expect("a list").clone();
        items.into_iter().find(|item| item["service"] == service).expect("it is known")
    }

    /// The state of a service's first replica.
    pub(crate) fn state(&self, service: &str) -> String {
        self.item(service)["state"].as_str().expect("a word").to_owned()
    }

    /// The states of all services, in their order.
    pub(crate) fn states(&self) -> Vec<(String, String)> {
        let status = self.json(&["status"]);
        let word = |item: &Value, key: &str| item[key].as_str().expect("a word").to_owned();
        let items = status["items"].as_array().expect("a list").iter();
        items.map(|item| (word(item, "service"), word(item, "state"))).collect()
    }

    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        until(what, || if is_so(self) { Ok(()) } else { Err(self.json(&["status"]).to_string()) });
    }

    pub(crate) fn until_state(&self, service: &str, state: &str) {
        until_so(&format!("{service} is {state}"), || self.state(service) == state);
    }

    pub(crate) fn daemon_pid(&self) -> i32 {
        let status = self.json(&["daemon", "status"]);
        i32::try_from(status["pid"].as_i64().expect("it runs")).expect("fits")
    }

    /// How many attempts the newest run of a name had.
    pub(crate) fn attempts(&self, run: &str) -> usize {
        self.json(&["show", run])["attempts"].as_array().expect("a list").len()
    }

    /// How many runs of a name there were.
    pub(crate) fn runs(&self, name: &str) -> usize {
        self.json(&["history", "--name", name])["items"].as_array().expect("a list").len()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.jr(&["down"]);
    }
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
