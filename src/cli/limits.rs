//! Limits of resources as people read them: pure.

use crate::model::ResourceLimits;
use crate::projections::view::LimitsByView;

/// `cpu 1.5, memory 512 MiB, pids 100`: what there is of it.
pub fn limit_words(limits: &ResourceLimits) -> Option<String> {
    let cpu = limits.cpu_millis.map(|millis| format!("cpu {}", f64::from(millis) / 1_000.0));
    let memory = limits.memory_bytes.map(|bytes| format!("memory {}", bytes_words(bytes)));
    let pids = limits.pids.map(|count| format!("pids {count}"));
    let words: Vec<String> = [cpu, memory, pids].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// In the largest unit that leaves nothing over.
fn bytes_words(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

/// What holds it to each limit.
pub fn limits_by_words(by: &LimitsByView) -> Option<String> {
    let all = [("cpu", &by.cpu), ("memory", &by.memory), ("pids", &by.pids)];
    let words: Vec<String> = all
        .into_iter()
        .filter_map(|(name, by)| match by.as_deref()? {
            "none" => Some(format!("{name} NOT in force")),
            by => Some(format!("{name} by {by}")),
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}
