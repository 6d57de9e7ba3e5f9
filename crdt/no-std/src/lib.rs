//! A program without `std` that keeps and ships a set.

#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::ptr::null_mut;

use cahoots_crdt::{AwSet, Causal, Lattice, ReplicaId};

/// Adds a member, ships the delta as bytes, and returns their number.
#[unsafe(no_mangle)]
pub extern "C" fn add_and_ship(replica: u64, member: u32) -> usize {
    let mut set: Causal<AwSet<u32>> = Causal::new();
    let delta = set.add(ReplicaId::new(replica), member);
    set.merge(delta.clone());
    delta.encode().map_or(0, |bytes| bytes.len())
}

/// This program is built, never run: its allocator has nothing to give.
struct Nothing;

// SAFETY: a null pointer is what a failing allocator returns, and so nothing is ever given back.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Nothing = Nothing;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
