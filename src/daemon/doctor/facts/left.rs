//! What is left behind: processes of runs that have ended, output and secrets of runs that nobody
//! knows. Nothing is done to any of it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::log::KnownRuns;
use crate::daemon::doctor::isolated::Gathered;
use crate::daemon::place::Place;
use crate::limits;
use crate::log::Secrets;
use crate::model::RunId;
use crate::runners::linux::carriers::{self, Carrier, Carriers};
use crate::runners::linux::procfs;

/// Files of output that are counted at most.
const FILES_MAX: usize = 1_000_000;

/// Things of the same kind: how many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pile {
    /// How many.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The first, `limits::DOCTOR_LISTED` at most.
    pub paths: Vec<String>,
}

impl Pile {
    fn add(&mut self, path: &Path) {
        self.count += 1;
        self.bytes += std::fs::metadata(path).map_or(0, |data| data.len());
        if self.paths.len() < limits::DOCTOR_LISTED {
            self.paths.push(path.display().to_string());
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftFacts {
    /// Processes that carry a run of this environment, by what they say.
    pub carriers: usize,
    /// Processes that could not be looked at.
    pub hidden: usize,
    /// Those of runs that do not live; `None` where it is not known what lives.
    pub strays: Option<Vec<Carrier>>,
    /// Why processes could not be looked at.
    pub problem: Option<String>,
    /// Files of output of runs that the log does not know; `None` where that is not known.
    pub outputs: Option<Pile>,
    /// Secrets of runs that cannot start any more; `None` where that is not known.
    pub secrets: Option<Pile>,
}

/// Processes of runs, before it is asked which runs live.
pub fn carriers(place: &Place) -> Result<Carriers, String> {
    carriers::of_environment(&place.home, place.id.as_str()).map_err(|error| error.to_string())
}

/// Looks.
pub fn gather(
    place: &Place,
    carriers: Gathered<Result<Carriers, String>>,
    known: Option<&KnownRuns>,
) -> LeftFacts {
    let (carriers, problem) = match carriers {
        Gathered::Known(Ok(carriers)) => (carriers, None),
        Gathered::Known(Err(why)) | Gathered::Unknown { why } => (Carriers::default(), Some(why)),
    };
    let is_there = |carrier: &Carrier| {
        let stat = procfs::stat(carrier.pid).ok().flatten();
        stat.is_some_and(|stat| stat.start_ticks == carrier.start_ticks && !stat.is_zombie())
    };
    let strays = known.map(|known| {
        let lives = |run: &str| run.parse().is_ok_and(|run: RunId| known.live.contains(&run));
        let left = carriers.found.iter().filter(|carrier| !lives(&carrier.run));
        // What has ended since was on its way.
        left.filter(|carrier| is_there(carrier)).cloned().collect()
    });
    LeftFacts {
        carriers: carriers.found.len(),
        hidden: carriers.hidden,
        strays,
        problem,
        outputs: known.and_then(|known| Some(outputs(place, known.all.as_ref()?))),
        secrets: known.and_then(|known| secrets(place, known.secret_owners.as_ref()?)),
    }
}

fn outputs(place: &Place, known: &BTreeSet<RunId>) -> Pile {
    let mut pile = Pile::default();
    let folders = std::fs::read_dir(place.outputs()).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten());
    for entry in files.flatten().take(FILES_MAX) {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.split('.').next()?.parse::<RunId>().ok());
        if run.is_some_and(|run| !known.contains(&run)) {
            pile.add(&entry.path());
        }
    }
    pile
}

fn secrets(place: &Place, owners: &BTreeSet<RunId>) -> Option<Pile> {
    let mut pile = Pile::default();
    let found = Secrets::new(&place.secrets()).list().ok()?;
    for run in found.into_iter().filter(|run| !owners.contains(run)) {
        pile.add(&place.secrets().join(run.to_string()));
    }
    Some(pile)
}
