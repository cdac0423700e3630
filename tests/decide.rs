//! The core by cases: given these events, when this comes, then these events, actions and answers.

#[path = "decide/admission.rs"]
mod admission;
#[path = "decide/batches.rs"]
mod batches;
#[path = "decide/ends.rs"]
mod ends;
#[path = "decide/fixture.rs"]
mod fixture;
#[path = "decide/order.rs"]
mod order;
#[path = "decide/pauses.rs"]
mod pauses;
#[path = "decide/pruning.rs"]
mod pruning;
#[path = "decide/queues.rs"]
mod queues;
#[path = "decide/recovery.rs"]
mod recovery;
#[path = "decide/retries.rs"]
mod retries;
#[path = "decide/services.rs"]
mod services;
#[path = "decide/stops.rs"]
mod stops;
