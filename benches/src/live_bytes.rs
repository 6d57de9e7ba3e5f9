//! An allocator that counts, for benchmarks that say what something takes in memory: the system's, and beside it the
//! bytes that are live.
//!
//! A binary makes it its own with `#[global_allocator] static ALLOCATOR: Counting = Counting;`.

#![allow(unsafe_code)] // An allocator is unsafe by its nature; nothing else is here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting what is live.
pub struct Counting;

/// The bytes that what `make` returns keeps, where [`Counting`] is the allocator and nothing else runs.
pub fn kept_by<T>(make: impl FnOnce() -> T) -> usize {
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let made = make();
    let after = LIVE_BYTES.load(Ordering::Relaxed);
    drop(black_box(made));
    after - before
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above with this layout, hence from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
