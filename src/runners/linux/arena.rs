//! The allocator of short commands: their first memory is an arena from which nothing is given
//! back, then that of libc.
//!
//! musl maps and unmaps some pages for nearly each size of an allocation that comes and goes, and
//! each page that is touched for the first time is a fault, which in a virtual machine takes
//! several microseconds. Of a short command these were most of the time (docs/decisions/0014).
//! Pages of the arena come many at a time. Whoever lives long closes it first, so that nothing of
//! it stays taken.
#![expect(unsafe_code, reason = "a global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the arena: zero pages of the program, resident only where they were used.
const BYTES: usize = 1 << 20;
/// A page, or what the smallest is a multiple of.
const PAGE: usize = 4 << 10;
/// Pages are asked for in pieces of so much.
const PIECE: usize = 128 << 10;
/// Larger ones go to libc, which can move their pages where they grow.
const LARGE: usize = 256 << 10;

/// The allocator of all that is built from this.
#[global_allocator]
pub static ARENA: Arena = Arena::new();

/// See the module.
#[derive(Debug)]
pub struct Arena {
    bytes: UnsafeCell<MaybeUninit<[u8; BYTES]>>,
    /// What comes next; `BYTES` or more where it is full or closed.
    next: AtomicUsize,
    /// The end of what has pages.
    paged: AtomicUsize,
}

// SAFETY: a byte belongs to one allocation at a time, since `next` is changed by compare and swap.
unsafe impl Sync for Arena {}

impl Arena {
    /// One that is open.
    pub const fn new() -> Self {
        Self {
            bytes: UnsafeCell::new(MaybeUninit::uninit()),
            next: AtomicUsize::new(0),
            paged: AtomicUsize::new(0),
        }
    }

    /// Everything comes from libc from now on; what was taken stays.
    pub fn close(&self) {
        self.next.store(BYTES, Ordering::Relaxed);
    }

    fn base(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// The offset of a pointer that lies in it.
    fn offset(&self, pointer: *mut u8) -> Option<usize> {
        pointer.addr().checked_sub(self.base().addr()).filter(|offset| *offset < BYTES)
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        if layout.size() > LARGE {
            return None;
        }
        let mut next = self.next.load(Ordering::Relaxed);
        loop {
            if next >= BYTES {
                return None;
            }
            let misplaced = (self.base().addr() + next) % layout.align();
            let start = if misplaced == 0 { next } else { next + (layout.align() - misplaced) };
            let end = start.checked_add(layout.size()).filter(|end| *end < BYTES)?;
            match self.next.compare_exchange_weak(next, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.reach(end);
                    // SAFETY: `start` lies below `BYTES`.
                    return Some(unsafe { self.base().add(start) });
                }
                Err(now) => next = now,
            }
        }
    }

    /// Something will be written up to there.
    fn reach(&self, end: usize) {
        if end > self.paged.load(Ordering::Relaxed) {
            self.ask_for_pages(end);
        }
    }

    /// Has the kernel map zero pages up to `end` and some more, at once. Without that, as where
    /// `MADV_POPULATE_WRITE` is not known (before Linux 5.14), each comes at its first use.
    #[cold]
    fn ask_for_pages(&self, end: usize) {
        let from = self.paged.fetch_max(end.next_multiple_of(PIECE), Ordering::Relaxed);
        let length = end.next_multiple_of(PIECE).saturating_sub(from);
        let start = self.base().wrapping_add(from);
        let misplaced = start.addr() % PAGE;
        // SAFETY: pages of our own data, within the program's; nothing in them is changed.
        unsafe {
            let start = start.wrapping_sub(misplaced).cast();
            libc::madvise(start, length + misplaced, libc::MADV_POPULATE_WRITE);
        }
    }

    /// Makes the block at `offset` end elsewhere, if it is the last one.
    fn resize_last(&self, offset: usize, size: usize, new_size: usize) -> bool {
        let (end, new_end) = (offset + size, offset.saturating_add(new_size));
        let relaxed = Ordering::Relaxed;
        let is_last =
            new_end < BYTES && self.next.compare_exchange(end, new_end, relaxed, relaxed).is_ok();
        if is_last {
            self.reach(new_end);
        }
        is_last
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: blocks of the arena are aligned, lie in it and do not overlap; all others are `System`'s,
// and go back to it, told apart by their address.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.take(layout).unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(pointer) => {
                // SAFETY: a block of that size; the last one may have been used before.
                unsafe { pointer.write_bytes(0, layout.size()) };
                pointer
            }
            // SAFETY: the caller's promise.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.offset(pointer) {
            Some(offset) => {
                self.resize_last(offset, layout.size(), 0);
            }
            // SAFETY: not ours, so it is the system's.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(offset) = self.offset(pointer) else {
            // SAFETY: not ours, so it is the system's.
            return unsafe { System.realloc(pointer, layout, new_size) };
        };
        if self.resize_last(offset, layout.size(), new_size) {
            return pointer;
        }
        // SAFETY: the caller promises that the new size is valid with this alignment.
        let new =
            unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !new.is_null() {
            // SAFETY: two blocks that do not overlap, each of at least so many bytes.
            unsafe { new.copy_from_nonoverlapping(pointer, layout.size().min(new_size)) };
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    /// Takes blocks, fills them, and looks whether all still have what was put there.
    #[test]
    fn blocks_are_aligned_and_keep_what_is_in_them() {
        static OWN: Arena = Arena::new();
        let arena = &OWN;
        let mut blocks = Vec::new();
        for number in 0..4_000_usize {
            let layout = layout(1 + number % 700, 1 << (number % 8));
            // SAFETY: sizes are not zero.
            let pointer = unsafe { arena.alloc(layout) };
            assert_eq!(pointer.addr() % layout.align(), 0);
            let fill = u8::try_from(number % 251).expect("small");
            // SAFETY: a block of that size.
            unsafe { pointer.write_bytes(fill, layout.size()) };
            blocks.push((pointer, layout, fill));
        }
        assert!(
            blocks.iter().any(|(pointer, _, _)| arena.offset(*pointer).is_none()),
            "it is full"
        );
        for (pointer, layout, fill) in &mut blocks {
            // SAFETY: its own layout; more than before.
            let grown = unsafe { arena.realloc(*pointer, *layout, layout.size() + 9) };
            *pointer = grown;
            // SAFETY: as many bytes as were filled.
            let bytes = unsafe { std::slice::from_raw_parts(grown, layout.size()) };
            assert!(bytes.iter().all(|byte| byte == fill));
        }
        for (pointer, of, _) in blocks {
            // SAFETY: what the block was made to.
            unsafe { arena.dealloc(pointer, layout(of.size() + 9, of.align())) };
        }
    }

    /// Of its first pages, so many, those that are in memory. A page that it shares with other data
    /// is not looked at.
    fn resident(arena: &Arena, pages: usize) -> Option<usize> {
        let mut there = vec![0_u8; pages];
        let start = arena.base().wrapping_add(PAGE - arena.base().addr() % PAGE);
        // SAFETY: pages of a static, and a byte for each of them.
        let done = unsafe { libc::mincore(start.cast(), pages * PAGE, there.as_mut_ptr()) };
        (done == 0).then(|| there.iter().filter(|page| **page & 1 == 1).count())
    }

    #[test]
    fn pages_come_in_pieces() {
        static OWN: Arena = Arena::new();
        let pages = PIECE / PAGE;
        assert_eq!(resident(&OWN, 3 * pages), Some(0));
        // SAFETY: a size that is not zero.
        let first = unsafe { OWN.alloc(layout(1, 1)) };
        let one = resident(&OWN, 3 * pages).expect("mincore");
        if one == 0 {
            println!("SKIPPED (the kernel does not know MADV_POPULATE_WRITE)");
            return;
        }
        assert!((pages - 1..=pages).contains(&one), "{one}");
        // SAFETY: its own layout, and a size that is not zero.
        unsafe { OWN.realloc(first, layout(1, 1), PIECE + 1) };
        let two = resident(&OWN, 3 * pages).expect("mincore");
        assert!((2 * pages - 1..=2 * pages).contains(&two), "{two}");
    }

    #[test]
    fn the_last_block_grows_in_its_place_and_goes_back() {
        static OWN: Arena = Arena::new();
        let arena = &OWN;
        let (small, large) = (layout(10, 1), layout(20, 1));
        // SAFETY: each block is used with its own layout.
        unsafe {
            let first = arena.alloc(small);
            assert_eq!(arena.realloc(first, small, 20), first);
            arena.dealloc(first, large);
            let second = arena.alloc_zeroed(small);
            assert_eq!(second, first);
            assert_eq!(std::slice::from_raw_parts(second, 10), [0; 10]);
        }
    }

    #[test]
    fn closed_it_gives_nothing_and_large_blocks_never_come_from_it() {
        static OWN: Arena = Arena::new();
        let arena = &OWN;
        assert_eq!(arena.take(layout(LARGE + 1, 8)), None);
        assert!(arena.take(layout(8, 8)).is_some());
        arena.close();
        assert_eq!(arena.take(layout(8, 8)), None);
    }

    #[test]
    fn threads_get_blocks_of_their_own() {
        static OWN: Arena = Arena::new();
        let arena = &OWN;
        let taken = |_| {
            let blocks = std::iter::from_fn(|| arena.take(layout(48, 16)));
            blocks.map(<*mut u8>::addr).collect::<Vec<_>>()
        };
        let mut all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|at| scope.spawn(move || taken(at))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("ended")).collect::<Vec<_>>()
        });
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), count), (count, (BYTES - 1) / 48));
    }
}
