//! Version 1 of what is said of configuration.

use serde::{Deserialize, Serialize};

use crate::log::codec::DecodeReason;
use crate::model::event::Event;
use crate::model::{ConfigSource, Digest, Resolution};

/// Kind 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ConfigResolved {
    pub config: Option<[u8; 32]>,
    pub sources: Vec<(String, [u8; 32])>,
    pub queues: Vec<(String, u32)>,
}

/// Kind 41.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ConfigRejected {
    pub source: String,
    pub reason: String,
}

impl From<&Resolution> for ConfigResolved {
    fn from(model: &Resolution) -> Self {
        let source = |source: &ConfigSource| (source.name.clone(), source.digest.0);
        let queue =
            |(queue, limit): (&crate::model::QueueName, &u32)| (queue.as_str().to_owned(), *limit);
        Self {
            config: model.config.map(|digest| digest.0),
            sources: model.sources.iter().map(source).collect(),
            queues: model.queues.iter().map(queue).collect(),
        }
    }
}

impl TryFrom<ConfigResolved> for Event {
    type Error = DecodeReason;

    fn try_from(stored: ConfigResolved) -> Result<Self, DecodeReason> {
        let source = |(name, digest)| ConfigSource { name, digest: Digest(digest) };
        let queue = |(queue, limit): (String, u32)| {
            let queue = queue.parse().map_err(|_| DecodeReason::BadField("queue"))?;
            Ok((queue, limit))
        };
        let resolution = Resolution {
            config: stored.config.map(Digest),
            sources: stored.sources.into_iter().map(source).collect(),
            queues: stored.queues.into_iter().map(queue).collect::<Result<_, _>>()?,
        };
        Ok(Self::ConfigResolved { resolution })
    }
}

impl From<ConfigRejected> for Event {
    fn from(stored: ConfigRejected) -> Self {
        Self::ConfigRejected { source: stored.source, reason: stored.reason }
    }
}
