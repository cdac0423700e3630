//! Replay equals live, for every prefix, however the log was folded, cut and stored.

#[path = "support/views_world.rs"]
mod world;

use jr::log::{SegmentHeader, Store};
use jr::model::{Checker, Engine, Envelope, State};
use proptest::prelude::*;
use world::World;

fn script() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(any::<u64>(), 1..120)
}

fn fold(state: State, envelopes: &[Envelope]) -> State {
    envelopes.iter().fold(state, |mut state, envelope| {
        state.apply(envelope).expect("what the engine decided is legal");
        state
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A state is a value: written as text and read again at any place, the fold goes on as if
    /// nothing had been.
    #[test]
    fn a_fold_may_be_cut_anywhere(script in script(), cut in any::<u16>()) {
        let log = World::play(&script);
        let cut = usize::from(cut) % (log.len() + 1);
        let before = fold(State::default(), &log[..cut]);
        let bytes = jr::log::codec::encode(&before);
        let again: State = jr::log::codec::decode_large(&bytes).expect("it was just written");
        prop_assert_eq!(&again, &before);
        prop_assert_eq!(fold(again, &log[cut..]), fold(State::default(), &log));
    }

    /// At each of its records a log obeys the laws, and an engine that begins there has exactly
    /// the state that the fold has.
    #[test]
    fn every_prefix_is_lawful(script in script()) {
        let log = World::play(&script);
        let mut checker = Checker::default();
        let mut state = State::default();
        for envelope in &log {
            prop_assert_eq!(checker.feed(envelope), Ok(()));
            state.apply(envelope).expect("legal");
            prop_assert_eq!(checker.state(), &state);
        }
        let engine = Engine::new(state.clone());
        prop_assert_eq!(engine.state(), &state);
    }
}

/// The real log gives back what the engine decided, so the fold of what it gives is the live one.
#[test]
fn the_stored_log_folds_to_the_live_state() {
    for seed in 1..8_u64 {
        let script: Vec<u64> =
            (1..80).map(|step: u64| step.wrapping_mul(seed ^ 0x9e37_79b9_7f4a_7c15)).collect();
        let log = World::play(&script);
        let header = SegmentHeader::first("local".parse().expect("a name"));
        let mut store = Store::in_memory(&header).expect("makes a log");
        for group in log.chunks(7) {
            store.append(group).expect("appends");
        }
        let read = store.reader().events(1).expect("opens");
        let read: Vec<Envelope> = read.map(|event| event.expect("whole")).collect();
        assert_eq!(read, log);
        assert_eq!(fold(State::default(), &read), fold(State::default(), &log));
    }
}
