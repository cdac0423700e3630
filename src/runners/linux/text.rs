//! Program text in memory: what is mapped of it counts as resident, needed or not.
#![expect(unsafe_code, reason = "madvise of our own program text")]

use std::fs;

/// Unmaps the pages of our program's text; those that are needed again come back from the page
/// cache, at about a microsecond for each 64 KiB (`fault_around_bytes`).
///
/// The kernel maps 64 KiB around each fault, so that a process that has done a little of everything
/// counts nearly all of its text as resident for ever (`RssFile` of `proc(5)`). For processes that
/// wait for hours and of which there may be hundreds that is most of what they seem to need, and
/// keeps the kernel from taking back what nobody uses.
pub fn let_go() {
    let (Ok(exe), Ok(maps)) =
        (fs::read_link("/proc/self/exe"), fs::read_to_string("/proc/self/maps"))
    else {
        return;
    };
    let Some(exe) = exe.to_str() else { return };
    for (start, length) in maps.lines().filter_map(|line| text_of(line, exe)) {
        // SAFETY: a private file mapping without write permission: its pages are the file's, and
        // come back from there. Nothing of it is ever written, there are no text relocations.
        unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
}

/// Start and length of a line of `/proc/self/maps` if it is text of `exe` (`proc_pid_maps(5)`).
fn text_of(line: &str, exe: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    if permissions != "r-xp" || !line.ends_with(exe) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_the_program_is_meant() {
        let text = "00401000-0114e000 r-xp 00001000 fe:00 7   /usr/bin/jr";
        assert_eq!(text_of(text, "/usr/bin/jr"), Some((0x40_1000, 0xd4_d000)));
        for other in [
            "00400000-00401000 r--p 00000000 fe:00 7   /usr/bin/jr",
            "0148f000-01493000 rw-p 0108e000 fe:00 7   /usr/bin/jr",
            "7f0000000000-7f0000020000 r-xp 00000000 fe:00 8   /lib/libc.so.6",
            "7ffd2b5c4000-7ffd2b5c6000 r-xp 00000000 00:00 0   [vdso]",
            "nonsense",
            "",
        ] {
            assert_eq!(text_of(other, "/usr/bin/jr"), None, "{other}");
        }
    }

    #[test]
    fn the_program_goes_on_without() {
        let_go();
        assert_eq!("7".parse::<u32>(), Ok(7));
    }
}
