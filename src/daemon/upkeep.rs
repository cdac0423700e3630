//! What a daemon, or a command that is one, does by itself because the configuration says so: goes
//! on with what was interrupted, once, and lets old history go, now and then.

use std::sync::Arc;
use std::time::Duration;

use super::server::{Shared, ask};
use super::views_loop::PruneCut;
use crate::limits;
use crate::model::event::{Asker, Cause};
use crate::model::{Command, CommandId};

/// Until the daemon ends.
pub async fn run(shared: Arc<Shared>) {
    if shared.in_force.resumes() {
        // What cannot be resumed now waits for somebody who asks.
        let asker = Some(configured());
        let _later = ask(&shared, own_cause(), Command::ResumeInterrupted { asker }).await;
    }
    let mut wait_ms = limits::RETENTION_FIRST_MS;
    loop {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        wait_ms = limits::RETENTION_EVERY_MS;
        let_go(&shared).await;
    }
}

/// Prunes what is beyond what is to be kept, if it is worth it.
async fn let_go(shared: &Shared) {
    let Some(policy) = shared.in_force.retention() else { return };
    let Ok(cut) = shared.questions.prune_cut(policy).await else { return };
    let PruneCut { before, under_way, .. } = cut;
    let (from, head) = (shared.log.kept_from(), *shared.applied.borrow());
    let (goes, all) = (before.saturating_sub(from), head.saturating_sub(from));
    let is_worth_it = goes >= limits::RETENTION_EVENTS || goes > 0 && goes >= all / 10;
    if !under_way && is_worth_it {
        let (keep_days, keep_runs) = (policy.days, policy.runs);
        let command = Command::Prune { before, keep_days, keep_runs };
        // The next look tries again.
        let _later = ask(shared, own_cause(), command).await;
    }
}

/// The daemon, which the configuration tells to go on with what was interrupted.
pub(super) fn configured() -> Asker {
    Asker { pid: std::process::id(), command: "resume_on_start = true".to_owned() }
}

/// Nobody asked: the daemon's own user did.
pub(super) fn own_cause() -> Cause {
    let mut bytes = [0_u8; 16];
    // 16 bytes come whole, and block only before the kernel's pool was ever filled.
    while rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {}
    let command = CommandId::from_bytes(bytes);
    Cause { command, uid: rustix::process::geteuid().as_raw() }
}
