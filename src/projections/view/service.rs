//! A replica of a service, its ports, and what is done about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A replica of a service, in `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Which.
    pub service: String,
    /// Which replica of it, from 0.
    pub replica: u32,
    /// Its name for people.
    pub title: Option<String>,
    /// `down`, `waiting`, `starting`, `ready`, `unhealthy`, `restarting`, `crash_looping`,
    /// `paused`, `interrupted`, `stopping`, `stopped`, `completed`, `failed` or `skipped`.
    pub state: String,
    /// `ready`, `healthy` or `unhealthy`; `null` where it is not asked, or has not answered.
    pub health: Option<String>,
    /// Why it is so, where a word says more.
    pub reason: Option<String>,
    /// Whether it is to be up.
    pub wanted: bool,
    /// Its run, live or the latest.
    pub run_id: Option<String>,
    /// Main process.
    pub pid: Option<u32>,
    /// Ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Further attempts of its run.
    pub restarts: u32,
    /// Where to find it.
    pub url: Option<String>,
    /// Its name at the reverse proxy.
    pub hostname: Option<String>,
    /// What it depends on.
    pub depends_on: Vec<String>,
    /// The start of its process.
    pub started_at: Option<String>,
}

impl ServiceView {
    /// What follows its name where something is to be said of it: `has failed: exit 3`.
    pub fn plight(&self) -> String {
        let is = match self.state.as_str() {
            "failed" => "has failed".to_owned(),
            "skipped" => "was skipped".to_owned(),
            state => format!("is {state}"),
        };
        let why = self.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{is}{why}")
    }
}

/// A port of a replica, in `ports`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortView {
    /// Of which service.
    pub service: String,
    /// Which replica of it.
    pub replica: u32,
    /// Its name.
    pub name: String,
    /// The port that was asked for; `null` is any.
    pub requested: Option<u16>,
    /// The port that it has.
    pub assigned: u16,
    /// What its processes listen on there; `null` where nothing is known.
    pub actual: Option<u16>,
    /// `fixed`, `allocated`, or `retried` after others were taken.
    pub source: String,
    /// Ports that were tried before.
    pub retries: u32,
    /// Who else listens there.
    pub holder: Option<crate::model::service::spec::PortHolder>,
    /// The shim of its live process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shim: Option<u32>,
}

/// What is done about one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Which service.
    pub service: String,
    /// Which replica of it.
    pub replica: u32,
    /// `start`, `restart`, `keep`, `stop` or `forget`.
    pub action: String,
    /// Why.
    pub reason: String,
    /// The run that stands for it afterwards, or did before; `null` in a plan of what starts.
    pub run_id: Option<String>,
}
