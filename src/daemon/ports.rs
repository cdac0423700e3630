//! Free ports for services: the same ones again and again where that can be.

use std::collections::BTreeSet;

use super::place::Place;
use crate::limits;
use crate::model::service::spec::{PortWish, Role};
use crate::runners::ports;

/// Looks for them.
#[derive(Debug)]
pub(super) struct Finder {
    /// What tells this environment from others.
    key: String,
}

impl Finder {
    /// For one environment.
    pub(super) fn new(place: &Place) -> Self {
        Self { key: place.root.to_string_lossy().into_owned() }
    }

    /// A free port for each wish; empty if there are not so many.
    pub(super) fn find(
        &self,
        role: &Role,
        wishes: &[PortWish],
        mut avoid: BTreeSet<u16>,
    ) -> Vec<(String, u16)> {
        let mut found = Vec::with_capacity(wishes.len());
        for wish in wishes {
            let key = format!("{}\n{role}\n{}", self.key, wish.name);
            let range = wish.range.map_or(limits::PORTS, |(first, last)| first..=last);
            let first = ports::start(&key, &range);
            let Some(port) = ports::find(first, range, &avoid) else { return Vec::new() };
            avoid.insert(port);
            found.push((wish.name.clone(), port));
        }
        found
    }
}
