//! Version 1 of the reasons that several kinds share.

use serde::{Deserialize, Serialize};

use crate::model::event as model;

/// Twin of [`model::SpawnError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum SpawnError {
    NotFound,
    NotExecutable,
    Errno(i32),
    SecretsGone,
    SecretUnreadable,
    NoSuchUser,
    PortTaken(u16),
}

/// Twin of [`model::LostReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum LostReason {
    ShimDied,
    ShimUnresponsive,
    Reboot,
}

/// Twin of [`model::StopReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum StopReason {
    Asked,
    Interrupted,
    ParentStopped,
    FailFast,
    Down,
    Restarted,
    Changed,
    Removed,
}

/// Twin of [`model::OutputLossReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum OutputLossReason {
    FileGone,
    NoSpace,
    OverLimit,
    Truncated,
}

/// Conversions both ways between enums whose variants have the same names and no fields.
macro_rules! twins {
    ($twin:ident, $model:path, [$($variant:ident),+]) => {
        impl From<$model> for $twin {
            fn from(model: $model) -> Self {
                use $model as Model;
                match model { $(Model::$variant => Self::$variant,)+ }
            }
        }

        impl From<$twin> for $model {
            fn from(stored: $twin) -> Self {
                match stored { $($twin::$variant => Self::$variant,)+ }
            }
        }
    };
}
pub(super) use twins;

twins!(LostReason, model::LostReason, [ShimDied, ShimUnresponsive, Reboot]);
twins!(
    StopReason,
    model::StopReason,
    [Asked, Interrupted, ParentStopped, FailFast, Down, Restarted, Changed, Removed]
);
twins!(OutputLossReason, model::OutputLossReason, [FileGone, NoSpace, OverLimit, Truncated]);

impl From<model::SpawnError> for SpawnError {
    fn from(error: model::SpawnError) -> Self {
        match error {
            model::SpawnError::NotFound => Self::NotFound,
            model::SpawnError::NotExecutable => Self::NotExecutable,
            model::SpawnError::Errno(number) => Self::Errno(number),
            model::SpawnError::SecretsGone => Self::SecretsGone,
            model::SpawnError::SecretUnreadable => Self::SecretUnreadable,
            model::SpawnError::NoSuchUser => Self::NoSuchUser,
            model::SpawnError::PortTaken(port) => Self::PortTaken(port),
        }
    }
}

impl From<SpawnError> for model::SpawnError {
    fn from(error: SpawnError) -> Self {
        match error {
            SpawnError::NotFound => Self::NotFound,
            SpawnError::NotExecutable => Self::NotExecutable,
            SpawnError::Errno(number) => Self::Errno(number),
            SpawnError::SecretsGone => Self::SecretsGone,
            SpawnError::SecretUnreadable => Self::SecretUnreadable,
            SpawnError::NoSuchUser => Self::NoSuchUser,
            SpawnError::PortTaken(port) => Self::PortTaken(port),
        }
    }
}
