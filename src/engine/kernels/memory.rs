//! Memory of results: aligned to lines of the cache, and used again once a result is dropped, as fresh memory
//! costs a page fault every four kilobytes.
//!
//! The one file of this room that knows how Burn holds bytes.

use super::lanes::{BLOCK, Lanes, Line};
use burn_std::{AllocationController, AllocationProperty, Bytes};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Lines under which the allocator is as good.
const LEAST: usize = 1 << 10;
/// Lines that are kept for later, of all threads together: 256 MiB.
const MOST: usize = 1 << 22;

static FREE: Mutex<FreeLines> = Mutex::new(FreeLines { free: Vec::new(), lines: 0 });

struct FreeLines {
    /// The free lines by capacity. Each was made as zeros of its whole capacity.
    free: Vec<Vec<Line>>,
    lines: usize,
}

impl FreeLines {
    /// The smallest that is large enough, and not four times as large.
    fn take(&mut self, len: usize) -> Option<Vec<Line>> {
        let index = self.free.partition_point(|kept| kept.capacity() < len);
        self.free.get(index).filter(|kept| kept.capacity() / 4 <= len)?;
        let taken = self.free.remove(index);
        self.lines -= taken.capacity();
        Some(taken)
    }

    fn put(&mut self, mut lines: Vec<Line>) {
        lines.clear();
        if self.lines + lines.capacity() > MOST {
            return;
        }
        self.lines += lines.capacity();
        let index = self.free.partition_point(|kept| kept.capacity() < lines.capacity());
        self.free.insert(index, lines);
    }
}

/// The lines of a result. Only this file makes them, so that their memory is initialised from its first byte to its last,
/// and what a tensor's bytes are is never anything else.
#[derive(Debug)]
pub struct Lines(Vec<Line>);

/// Zeros. Where there is no memory for them this panics, which fails the operator alone, and does not end the process.
fn zeroed<T: bytemuck::Zeroable>(len: usize) -> Vec<T> {
    match bytemuck::try_zeroed_slice_box(len) {
        Ok(zeros) => zeros.into_vec(),
        Err(()) => no_memory(len.saturating_mul(size_of::<T>())),
    }
}

#[cold]
#[expect(
    clippy::panic,
    reason = "whoever runs an operator makes a panic its error; an allocation that fails aborts"
)]
fn no_memory(bytes: usize) -> ! {
    panic!("there is no memory for {bytes} bytes")
}

/// Bytes of a thread's scratch that stay for the next operation.
const SCRATCH: usize = 8 << 20;

/// Makes a thread's scratch hold `len` elements at least. Panics where there is no memory for
/// them, which fails the operator alone.
pub(super) fn grown<T: Clone>(scratch: &mut Vec<T>, len: usize, fill: T) {
    if scratch.len() < len {
        if scratch.try_reserve_exact(len - scratch.len()).is_err() {
            no_memory(len.saturating_mul(size_of::<T>()));
        }
        scratch.resize(len, fill);
    }
}

/// A thread's scratch for the next operation: nothing, where it has become large.
pub(super) fn left<T>(scratch: Vec<T>) -> Vec<T> {
    if scratch.capacity().saturating_mul(size_of::<T>()) > SCRATCH { Vec::new() } else { scratch }
}

/// Lines whose memory is there and whose numbers are yet to be written: until then they are those of an earlier result.
///
/// In debug builds they are NaN, so that what a kernel forgets to write is seen.
pub(super) fn room(len: usize) -> Lines {
    let kept = if len < LEAST { None } else { FREE.lock().ok().and_then(|mut kept| kept.take(len)) };
    // Zeros of the system's cost nothing until they are written over.
    let mut lines = kept.unwrap_or_else(|| zeroed(len));
    // SAFETY: memory of the pool was made as zeros of its whole capacity, as it is here, and any bytes are floats; `take`
    // gives no less than was asked for.
    unsafe { lines.set_len(len) };
    if cfg!(debug_assertions) {
        lines.fill(Line(Lanes([f32::NAN; BLOCK])));
    }
    Lines(lines)
}

impl Lines {
    /// Lines of zeros.
    pub(super) fn zeros(len: usize) -> Self {
        Self(zeroed(len))
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        &self.0
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [Line] {
        &mut self.0
    }
}

/// Numbers that are yet to be written; what they are until then is not said. Large ones are not made anew where
/// others were dropped.
pub struct Floats {
    lines: Lines,
    len: usize,
}

impl Floats {
    pub fn new(len: usize) -> Self {
        Self { lines: room(len.div_ceil(BLOCK)), len }
    }

    pub fn into_bytes(self) -> Bytes {
        let len = self.len * size_of::<f32>();
        // SAFETY: the lines are initialised, and hold as many bytes.
        unsafe { Bytes::from_controller(Box::new(Recycled(self.lines.0)), len) }
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines[..])[..self.len]
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines[..])[..self.len]
    }
}

/// Frees what is kept for later.
pub fn forget() {
    let free =
        FREE.lock().map(|mut kept| std::mem::replace(&mut *kept, FreeLines { free: Vec::new(), lines: 0 }));
    drop(free);
}

/// The lines as the bytes of a tensor; where the last tensor is dropped, the memory is kept for later.
pub fn bytes(lines: Lines) -> Bytes {
    let len = size_of_val(&lines[..]);
    // SAFETY: the first `len` bytes are those of the lines, which are initialised.
    unsafe { Bytes::from_controller(Box::new(Recycled(lines.0)), len) }
}

struct Recycled(Vec<Line>);

impl AllocationController for Recycled {
    // Of what is promised: copies are made with it, and Burn makes none with more.
    fn alloc_align(&self) -> usize {
        align_of::<u128>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    // SAFETY: the whole of what the vector holds, and not more; who writes to it writes floats or copies of them,
    // as the contract of this function has it, and any bytes are floats.
    unsafe fn memory_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let len = size_of_val(&self.0[..]);
        // SAFETY: as many bytes of one allocation, borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }

    fn memory(&self) -> &[MaybeUninit<u8>] {
        let len = size_of_val(&self.0[..]);
        // SAFETY: as many bytes of one allocation.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) }
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.0);
        if lines.capacity() >= LEAST
            && let Ok(mut kept) = FREE.lock()
        {
            kept.put(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_where_it_fits() {
        let mut kept = FreeLines { free: Vec::new(), lines: 0 };
        [3000, 1000, 2000].into_iter().for_each(|capacity| kept.put(Vec::with_capacity(capacity)));
        assert_eq!(kept.take(1500).map(|v| v.capacity()), Some(2000));
        assert_eq!(kept.take(200), None);
        assert_eq!(kept.take(4000), None);
        assert_eq!(kept.take(1000).map(|v| v.capacity()), Some(1000));
        assert_eq!(kept.lines, 3000);
        kept.put(Vec::with_capacity(MOST - 2000));
        assert_eq!(kept.lines, 3000);
    }

    #[test]
    fn what_is_kept_is_freed_when_it_is_forgotten() {
        // Of a size that nothing else has.
        let len = (1 << 12) + 321;
        drop(bytes(room(len)));
        forget();
        let found = FREE.lock().is_ok_and(|kept| kept.free.iter().any(|lines| lines.capacity() == len));
        assert!(!found);
    }

    #[test]
    fn bytes_are_those_of_the_lines() {
        let mut lines = room(2);
        lines.fill(Line(Lanes([1.5; 16])));
        let mut held = bytes(lines);
        assert!(held.as_ptr().addr().is_multiple_of(64));
        assert!(bytemuck::cast_slice::<u8, f32>(&held).iter().eq([&1.5; 32]));
        held[..4].copy_from_slice(&2f32.to_ne_bytes());
        let copy = held.clone();
        drop(held);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&copy)[..2], [2.0, 1.5]);
    }
}
