//! Who holds a lock (`proc_locks(5)`): for messages only. A lock itself is the proof.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The process that holds the exclusive flock of a file, other than this one; `None` where nobody
/// does, or the kernel does not say (it hides holders of other pid namespaces).
pub fn holder(path: &Path) -> Option<u32> {
    let data = std::fs::metadata(path).ok()?;
    let text = std::fs::read_to_string("/proc/locks").ok()?;
    let device = (rustix::fs::major(data.dev()), rustix::fs::minor(data.dev()));
    find(&text, device, data.ino()).filter(|pid| *pid != std::process::id())
}

/// Lines are `1: FLOCK  ADVISORY  WRITE 4711 fe:00:5603475 0 EOF`; who waits for a lock has `->`.
/// Some file systems (overlay, btrfs) show another device there than stat(2) does: then the inode
/// alone has to do, unless several fit.
fn find(text: &str, (major, minor): (u32, u32), inode: u64) -> Option<u32> {
    let mut elsewhere = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = fields[..] else { continue };
        let Ok(pid) = pid.parse::<u32>() else { continue };
        let mut place = place.split(':');
        let mut hex = || u32::from_str_radix(place.next()?, 16).ok();
        let found = (hex(), hex());
        if place.next().and_then(|text| text.parse::<u64>().ok()) != Some(inode) {
            continue;
        }
        if found == (Some(major), Some(minor)) {
            return Some(pid);
        }
        elsewhere.push(pid);
    }
    match elsewhere[..] {
        [pid] => Some(pid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_file_is_found_and_readers_and_waiters_are_not_it() {
        let text = "1: FLOCK  ADVISORY  READ 10 fe:00:7 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 11 fe:00:8 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 12 fe:00:8 0 EOF\n\
                    3: OFDLCK ADVISORY  WRITE -1 fe:00:7 0 EOF\n\
                    4: FLOCK  ADVISORY  WRITE 13 00:2a:9 0 EOF\nrubbish\n";
        assert_eq!(find(text, (0xfe, 0), 8), Some(11));
        assert_eq!(find(text, (0xfe, 0), 7), None);
        assert_eq!(find(text, (0x1, 0), 9), Some(13), "another device, one inode");
        let twice = format!("{text}5: FLOCK  ADVISORY  WRITE 14 00:2b:9 0 EOF\n");
        assert_eq!(find(&twice, (0x1, 0), 9), None);
    }

    #[test]
    fn a_lock_of_another_process_has_a_holder() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        assert_eq!(holder(&path), None);
        let file = std::fs::File::create(&path).expect("made");
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("free");
        assert_eq!(holder(&path), None, "it is this one");
    }
}
