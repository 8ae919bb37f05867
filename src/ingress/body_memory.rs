//! The memory of the bodies that are being read or answered, reserved from the budget of the process.

use super::problem::Problem;
use crate::memory::{Budget, Reservation, Use};

/// A body of so many bytes is small. A part of the memory for bodies is left to these, so that they are served
/// whatever large ones take.
const SMALL: usize = 64 << 10;

/// What a request takes beside its body: its head, its task, and what is kept to answer it.
const OVERHEAD: usize = 8 << 10;

/// What one request has of the memory for bodies. It is given back when this is dropped.
#[derive(Debug)]
pub struct BodyMemory {
    reserved: Reservation,
    /// The bytes that are left to small bodies by this one, once it is large.
    spare: u64,
}

impl BodyMemory {
    /// That of a request whose body has not come yet.
    pub fn new(budget: &Budget) -> Result<Self, Problem> {
        let reserved = budget.reserve(Use::Bodies, OVERHEAD as u64).map_err(|_| no_room())?;
        Ok(Self { reserved, spare: budget.most(Use::Bodies) / 8 })
    }

    /// Holds `length` bytes in all, where they are more than before.
    pub fn hold(&mut self, length: usize) -> Result<(), Problem> {
        let bytes = (length.saturating_add(OVERHEAD) as u64).max(self.reserved.bytes());
        let spare = if length > SMALL { self.spare } else { 0 };
        self.reserved.resize_leaving(bytes, spare).map_err(|full| match full.is_for_good() {
            true => Problem::too_large(format!(
                "it takes {bytes} bytes of memory to read this body, and there are {} for all of them (`memory` in \
                 `[server]`)",
                full.most
            )),
            false => no_room(),
        })
    }
}

fn no_room() -> Problem {
    Problem::no_room("the bodies of other requests take all the memory that there is for them; send it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(held: Result<(), Problem>) -> u16 {
        held.err().map_or(200, |problem| problem.status().as_u16())
    }

    #[test]
    fn small_bodies_are_taken_beside_large_ones_until_there_is_no_memory() {
        let budget = Budget::new(4 << 20);
        // A megabyte for bodies, an eighth of it for small ones.
        let mut large = BodyMemory::new(&budget).unwrap();
        assert_eq!(status(large.hold(800_000)), 200);
        assert_eq!(status(large.hold(1_000)), 200, "it does not shrink");
        let mut other = BodyMemory::new(&budget).unwrap();
        assert_eq!(status(other.hold(120_000)), 503);
        assert_eq!(status(other.hold(SMALL)), 200);
        assert_eq!(status(other.hold(2 << 20)), 413, "it never fits");
        let few: Vec<_> = (0..100).map_while(|_| BodyMemory::new(&budget).ok()).collect();
        assert!((5..100).contains(&few.len()), "those without a body count too: {}", few.len());
        assert_eq!(BodyMemory::new(&budget).unwrap_err().status(), 503);
        drop((large, other, few));
        assert_eq!(budget.usage().reserved(), 0);
    }
}
