//! The clocks: the one place where this layer reads time.

use std::io;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::{BootId, Now, UnixMillis};

/// Both clocks at once.
pub fn now() -> Now {
    let wall = clock_gettime(ClockId::Realtime);
    let wall_ms = wall.tv_sec.saturating_mul(1_000).saturating_add(wall.tv_nsec / 1_000_000);
    Now { wall: UnixMillis(wall_ms), boottime_ms: boottime_ms() }
}

/// `CLOCK_BOOTTIME` in milliseconds.
pub fn boottime_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let millis = time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000);
    u64::try_from(millis).unwrap_or(0)
}

/// A time of `/proc/PID/stat`, in clock ticks since boot, on `CLOCK_BOOTTIME` in milliseconds.
pub fn boottime_of_ticks(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000) / rustix::param::clock_ticks_per_second().max(1)
}

/// Which boot this is.
pub fn boot_id() -> io::Result<BootId> {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id")?;
    parse_boot_id(&text).ok_or_else(|| io::Error::other("boot_id is not a UUID"))
}

fn parse_boot_id(text: &[u8]) -> Option<BootId> {
    let mut bytes = [0_u8; 16];
    let mut digits = text.iter().filter(|byte| !b"-\n".contains(byte));
    for byte in &mut bytes {
        let high = char::from(*digits.next()?).to_digit(16)?;
        let low = char::from(*digits.next()?).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(BootId(bytes))
}

/// A timer on `CLOCK_BOOTTIME` for a poll loop: it counts suspend, unlike poll's own timeout.
#[derive(Debug)]
pub struct BoottimeTimer {
    fd: OwnedFd,
    armed_ms: Option<u64>,
}

impl BoottimeTimer {
    /// A timer that is not armed.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = timerfd_create(TimerfdClockId::Boottime, flags)?;
        Ok(Self { fd, armed_ms: None })
    }

    /// Becomes readable at `deadline_ms`, or never. Costs a system call only where it changes.
    pub fn arm(&mut self, deadline_ms: Option<u64>) -> io::Result<()> {
        if self.armed_ms == deadline_ms {
            return Ok(());
        }
        // Zero would disarm.
        let at_ms = deadline_ms.map_or(0, |deadline| deadline.max(1));
        let it_value = Timespec {
            tv_sec: i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_ms % 1_000).unwrap_or(0) * 1_000_000,
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &timer)?;
        self.armed_ms = deadline_ms;
        Ok(())
    }

    /// Takes note that it has fired.
    pub fn clear(&mut self) {
        let mut expirations = [0_u8; 8];
        rustix::io::read(&self.fd, &mut expirations).ok();
        self.armed_ms = None;
    }
}

impl AsFd for BoottimeTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_the_sixteen_bytes_of_its_uuid() {
        let id = parse_boot_id(b"00112233-4455-6677-8899-aabbccddeeff\n").expect("a UUID");
        assert_eq!(id.0[..3], [0, 0x11, 0x22]);
        assert_eq!(id.0[15], 0xff);
        for bad in [&b""[..], b"00112233", b"zz112233-4455-6677-8899-aabbccddeeff", &[b'0'; 33]] {
            assert!(parse_boot_id(bad).is_none());
        }
        assert_eq!(boot_id().expect("Linux"), boot_id().expect("Linux"));
    }
}
