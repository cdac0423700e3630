//! Copies of memory for the static program: `memcpy(3)` and `memmove(3)`.
//!
//! musl's are one `rep movsq` for whatever number of bytes, and that instruction takes some 30
//! cycles before it begins. Most copies of this program are of less than 64 bytes: they took 16 %
//! of `jr run -h` (docs/decisions/0014). These are not used where the program is built for glibc,
//! which has better ones, and without optimization, where such a function may be compiled into a
//! call of itself.
#![expect(unsafe_code, reason = "copying bytes behind pointers is all that is done here")]

use std::arch::asm;
use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};

/// Bytes of a vector register.
const WIDE: usize = 16;
/// From so many bytes on the instruction for long copies is faster than a loop.
const LONG: usize = 1_024;

/// A copy between places that do not overlap.
///
/// # Safety
/// As of `memcpy(3)`: `from` can be read and `to` written for `count` bytes.
#[inline]
unsafe fn copy_apart(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: of the caller; each branch stays within `count`.
    unsafe {
        if count <= WIDE {
            copy_short(to, from, count);
        } else if count < LONG {
            copy_forward(to, from, count);
        } else {
            copy_long(to, from, count);
        }
    }
}

/// A copy between places that may overlap.
///
/// # Safety
/// As of `memmove(3)`: `from` can be read and `to` written for `count` bytes.
#[inline]
unsafe fn copy_overlapping(to: *mut u8, from: *const u8, count: usize) {
    let (ahead, behind) =
        (to.addr().wrapping_sub(from.addr()), from.addr().wrapping_sub(to.addr()));
    // SAFETY: of the caller. What a step overwrites was read by itself or by an earlier one.
    unsafe {
        if count <= WIDE {
            copy_short(to, from, count);
        } else if ahead >= count && behind >= count {
            copy_apart(to, from, count);
        } else if ahead >= count {
            copy_forward(to, from, count);
        } else {
            copy_backward(to, from, count);
        }
    }
}

/// At most [`WIDE`] bytes: all are read before any is written.
///
/// # Safety
/// As of `memmove(3)`.
#[inline]
unsafe fn copy_short(to: *mut u8, from: *const u8, count: usize) {
    macro_rules! ends {
        ($word:ty) => {{
            let last = count - size_of::<$word>();
            // SAFETY: there are at least as many bytes as a word has; two words may overlap.
            unsafe {
                let begin = from.cast::<$word>().read_unaligned();
                let end = from.add(last).cast::<$word>().read_unaligned();
                to.cast::<$word>().write_unaligned(begin);
                to.add(last).cast::<$word>().write_unaligned(end);
            }
        }};
    }
    match count {
        8.. => ends!(u64),
        4.. => ends!(u32),
        2.. => ends!(u16),
        1 => ends!(u8),
        0 => {}
    }
}

/// More than [`WIDE`] bytes, upwards: `to` lies below `from`, or apart from it.
///
/// # Safety
/// As of `memmove(3)`.
#[inline]
unsafe fn copy_forward(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: every vector lies within `count`; the last is read before anything is written.
    unsafe {
        let end = wide_at(from.add(count - WIDE));
        let mut done = 0;
        while done < count - WIDE {
            put_wide(to.add(done), wide_at(from.add(done)));
            done += WIDE;
        }
        put_wide(to.add(count - WIDE), end);
    }
}

/// More than [`WIDE`] bytes, downwards: `to` lies above `from`.
///
/// # Safety
/// As of `memmove(3)`.
#[inline]
unsafe fn copy_backward(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: every vector lies within `count`; the first is read before anything is written.
    unsafe {
        let begin = wide_at(from);
        let mut left = count;
        while left > WIDE {
            left -= WIDE;
            put_wide(to.add(left), wide_at(from.add(left)));
        }
        put_wide(to, begin);
    }
}

/// # Safety
/// As of `memcpy(3)`, and at least eight bytes.
#[inline]
unsafe fn copy_long(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: whole words upwards, and the last word, which may overlap them, by itself. The
    // direction flag is clear by the calling convention.
    unsafe {
        let end = from.add(count - 8).cast::<u64>().read_unaligned();
        asm!(
            "rep movsq",
            inout("rcx") count / 8 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
        to.add(count - 8).cast::<u64>().write_unaligned(end);
    }
}

/// # Safety
/// [`WIDE`] bytes can be read there.
#[inline]
unsafe fn wide_at(from: *const u8) -> __m128i {
    // SAFETY: of the caller; the load wants no alignment.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// # Safety
/// [`WIDE`] bytes can be written there.
#[inline]
unsafe fn put_wide(to: *mut u8, wide: __m128i) {
    // SAFETY: of the caller; the store wants no alignment. The empty block keeps the compiler from
    // making a loop of these a call of memcpy, which this is.
    unsafe {
        _mm_storeu_si128(to.cast(), wide);
        asm!("", options(nostack, preserves_flags));
    }
}

#[cfg(not(test))]
mod exported {
    /// # Safety
    /// As of `memcpy(3)`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        // SAFETY: of the caller.
        unsafe { super::copy_apart(to, from, count) };
        to
    }

    /// # Safety
    /// As of `memmove(3)`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        // SAFETY: of the caller.
        unsafe { super::copy_overlapping(to, from, count) };
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> impl Iterator<Item = usize> {
        (0..140).chain([500, 1_023, 1_024, 1_025, 1_031, 4_096, 10_007])
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|place| (place.wrapping_mul(167) >> 3).to_le_bytes()[0]).collect()
    }

    #[test]
    fn copies_apart_are_whole_and_touch_nothing_else() {
        for count in counts() {
            for (skip_to, skip_from) in [(0, 0), (1, 0), (0, 3), (7, 13), (15, 1)] {
                let from = bytes(count + 40);
                let mut to = vec![0xaa; count + 40];
                let mut expected = to.clone();
                expected[skip_to..skip_to + count].copy_from_slice(&from[skip_from..][..count]);
                // SAFETY: both have 40 bytes more than are copied and skipped.
                unsafe {
                    copy_apart(to.as_mut_ptr().add(skip_to), from.as_ptr().add(skip_from), count);
                }
                assert!(to == expected, "{count} bytes to {skip_to} from {skip_from}");
            }
        }
    }

    #[test]
    fn overlapping_copies_are_as_if_there_were_a_second_place() {
        for count in counts() {
            for distance in (0..70).chain([200, 1_000, 1_020, 1_024, 5_000]) {
                for (to, from) in [(0, distance), (distance, 0), (3, distance + 3)] {
                    let mut memory = bytes(count + distance + 8);
                    let mut expected = memory.clone();
                    expected.copy_within(from..from + count, to);
                    let begin = memory.as_mut_ptr();
                    // SAFETY: both places lie within the memory.
                    unsafe { copy_overlapping(begin.add(to), begin.add(from), count) };
                    assert!(memory == expected, "{count} bytes to {to} from {from}");
                }
            }
        }
    }
}
