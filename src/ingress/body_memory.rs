//! The memory of the bodies that are being read or answered, reserved from the budget of the process.

use super::clients::{RequestMemory, Taken};
use super::problem::Problem;
use crate::memory::{Reservation, Use};
use hyper::http::request::Parts;

/// A body of so many bytes is small. A part of the memory for bodies is left to these, so that they are served
/// whatever large ones take.
const SMALL: usize = 64 << 10;

/// What a request takes beside its body and its head: its task, and what is kept to answer it.
const OVERHEAD: usize = 6 << 10;

/// What a header takes beside its name and its value.
const OF_HEADER: usize = 100;

/// The part of the memory for bodies that one request has. It is given back when this is dropped.
#[derive(Debug)]
pub struct BodyMemory {
    of: RequestMemory,
    reserved: Reservation,
    /// The same bytes, of what the client may have.
    client: Option<Taken>,
    /// What the request takes beside its body.
    beside: usize,
    /// The bytes that are left to small bodies by this one, once it is large.
    spare: u64,
}

impl BodyMemory {
    /// The memory of a request with this head, whose body has not come yet.
    pub fn new(of: &RequestMemory, head: &Parts) -> Result<Self, Problem> {
        let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + OF_HEADER);
        let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
        let mut memory = Self::nothing(of);
        memory.beside = OVERHEAD.saturating_add(headers.fold(path, usize::saturating_add));
        memory.client = of.of_client(0, true)?;
        memory.hold(0)?;
        Ok(memory)
    }

    /// That of no request.
    pub fn nothing(of: &RequestMemory) -> Self {
        let reserved = of.budget.nothing(Use::Bodies);
        Self {
            of: of.clone(),
            reserved,
            client: None,
            beside: OVERHEAD,
            spare: of.budget.most(Use::Bodies) / 8,
        }
    }

    /// Holds `length` bytes in all, where they are more than before.
    pub fn hold(&mut self, length: usize) -> Result<(), Problem> {
        let bytes = length.saturating_add(self.beside) as u64;
        let Some(more) = bytes.checked_sub(self.reserved.bytes()).filter(|more| *more > 0) else {
            return Ok(());
        };
        let is_small = length <= SMALL;
        let spare = if is_small { 0 } else { self.spare };
        self.of.grow(&mut self.client, more, is_small)?;
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
    use super::super::clients::{ClientRules, PerAddress};
    use super::*;
    use crate::memory::Budget;
    use crate::plan::PerClient;
    use hyper::{HeaderMap, Request};
    use std::net::{IpAddr, Ipv4Addr};

    fn head() -> Parts {
        Request::post("/one/predict").header("host", "localhost").body(()).unwrap().into_parts().0
    }

    fn status(held: Result<(), Problem>) -> u16 {
        held.err().map_or(200, |problem| problem.status().as_u16())
    }

    #[test]
    fn small_bodies_are_taken_beside_large_ones_until_there_is_no_memory() {
        let budget = Budget::new(4 << 20);
        let of = RequestMemory::new(
            &budget,
            &ClientRules::default(),
            &PerAddress::default(),
            &HeaderMap::new(),
            None,
        );
        // A megabyte for bodies, an eighth of it for small ones.
        let mut large = BodyMemory::new(&of, &head()).unwrap();
        assert_eq!(status(large.hold(800_000)), 200);
        assert_eq!(status(large.hold(1_000)), 200, "it does not shrink");
        let mut other = BodyMemory::new(&of, &head()).unwrap();
        assert_eq!(status(other.hold(120_000)), 503);
        assert_eq!(status(other.hold(SMALL)), 200);
        assert_eq!(status(other.hold(2 << 20)), 413, "it never fits");
        let few: Vec<_> = (0..100).map_while(|_| BodyMemory::new(&of, &head()).ok()).collect();
        assert!((5..100).contains(&few.len()), "those without a body count too: {}", few.len());
        assert_eq!(BodyMemory::new(&of, &head()).unwrap_err().status(), 503);
        drop((large, other, few));
        assert_eq!(budget.usage().reserved(), 0);
    }
    #[test]
    fn one_client_leaves_something_to_the_others() {
        let budget = Budget::new(8 << 20);
        let rules = ClientRules { per_client: Some(PerClient::default()), proxies: vec![] };
        let clients = PerAddress::default();
        let of = |last: u8| {
            let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
            let of = RequestMemory::new(&budget, &rules, &clients, &HeaderMap::new(), Some(peer));
            BodyMemory::new(&of, &head()).unwrap()
        };
        // Two megabytes for bodies, one of them for each client.
        let mut greedy = [of(1), of(1)];
        assert_eq!(status(greedy[0].hold(1_000_000)), 200);
        assert_eq!(status(greedy[1].hold(200_000)), 429);
        assert_eq!(status(of(1).hold(1_200_000)), 413, "it never fits");
        assert_eq!(status(of(1).hold(50_000)), 200, "a small one is taken all the same");
        assert_eq!(status(of(2).hold(200_000)), 200);
        drop(greedy);
        assert_eq!(status(of(1).hold(900_000)), 200);
    }
}
