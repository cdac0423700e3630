//! `[tests.NAME]`: a suite of tests. Declared and checked here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Millis, Variable, Words};

/// A suite of tests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Test {
    /// Its name for people.
    #[schemars(extend("x-aliases" = ["name"]))]
    pub title: Option<String>,
    /// The command that runs all of it.
    #[schemars(extend("x-aliases" = ["cmd"]))]
    pub command: Option<Words>,
    /// Words after the command.
    pub args: Option<Vec<String>>,
    /// What prints the results.
    pub framework: Option<Framework>,
    /// A file of results in `JUnit`'s form that it writes.
    pub junit: Option<String>,
    /// Working directory, relative to this file.
    #[schemars(extend("x-aliases" = ["working_directory", "working_dir", "cwd", "dir"]))]
    pub directory: Option<String>,
    /// Environment variables.
    #[schemars(extend("x-aliases" = ["env", "variables"]))]
    pub environment: Option<BTreeMap<String, Variable>>,
    /// It is stopped after this running time.
    #[schemars(extend("x-aliases" = ["timeout_secs:s"]))]
    pub timeout: Option<Millis>,
    /// Services that have to be up.
    pub needs: Option<Vec<String>>,
}

/// A test runner whose results jr reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    /// pytest.
    Pytest,
    /// cargo test.
    Cargo,
    /// cargo nextest.
    Nextest,
    /// go test.
    Go,
    /// jest.
    Jest,
    /// vitest.
    Vitest,
    /// Anything that writes `JUnit` files.
    Junit,
}
