//! What the clients at one address have of the server, so that none of them takes what all the others need.

use super::problem::Problem;
use crate::memory::{Budget, Use};
use crate::plan::{Network, PerClient};
use crate::scheduler::Sender;
use crate::sync::{Mutex, lock};
use hyper::HeaderMap;
use hyper::header::HeaderName;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The bounds of one client, and whose word is taken on who it is.
#[derive(Clone, Debug, Default)]
pub struct ClientRules {
    /// `None` for no bounds.
    pub per_client: Option<PerClient>,
    pub proxies: Vec<Network>,
}

impl ClientRules {
    /// The connections that `address` may have of `all` together: half where nothing is said. `None` for no bound, which
    /// holds for proxies too.
    pub fn connections(&self, address: IpAddr, all: usize) -> Option<u64> {
        let bounds = self.per_client.filter(|_| !self.is_proxy(address))?;
        Some(bounds.connections.unwrap_or(all / 2).max(1) as u64)
    }

    /// The bytes of bodies and answers that one client may have: half of what there is for bodies where nothing is said.
    fn memory(&self, budget: &Budget) -> Option<u64> {
        Some(self.per_client?.memory.unwrap_or(budget.most(Use::Bodies) / 2))
    }

    /// The client that a request is from. A proxy says so of its requests; `None` where it does not.
    fn client(&self, headers: &HeaderMap, peer: IpAddr) -> Option<IpAddr> {
        if !self.is_proxy(peer) {
            return Some(peer);
        }
        // Each proxy adds whom it was asked by: the last that is no proxy is the client as the first of ours saw it.
        let values: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).collect();
        let said = values.iter().rev().flat_map(|value| value.rsplit(',')).map(|one| address(one.trim()));
        said.take_while(Option::is_some).flatten().find(|address| !self.is_proxy(*address))
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }
}

/// "10.0.0.1", "10.0.0.1:4711", "::1" or "[::1]:4711".
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Amounts by address. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct PerAddress(Arc<Mutex<HashMap<IpAddr, u64>>>);

impl PerAddress {
    /// Adds `amount` to what `address` has, until it is dropped; `None` where that is more than `most` then.
    pub fn take(&self, address: IpAddr, amount: u64, most: u64) -> Option<Taken> {
        let mut taken = Taken { of: self.clone(), address: network_of(address), amount: 0 };
        taken.grow(amount, most).then_some(taken)
    }
}

/// Whoever has an address of IPv6 has all of its network.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// The part of its address's amount that one connection or request has.
#[derive(Debug)]
pub struct Taken {
    of: PerAddress,
    address: IpAddr,
    amount: u64,
}

impl Taken {
    /// Adds `more`, unless the address has more than `most` then.
    #[must_use]
    pub fn grow(&mut self, more: u64, most: u64) -> bool {
        let mut amounts = lock(&self.of.0);
        let has = amounts.get(&self.address).copied().unwrap_or(0);
        let Some(sum) = has.checked_add(more).filter(|sum| *sum <= most) else { return false };
        if sum > 0 {
            amounts.insert(self.address, sum);
        }
        self.amount += more;
        true
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut amounts = lock(&self.of.0);
        if let Some(has) = amounts.get_mut(&self.address) {
            *has = has.saturating_sub(self.amount);
            if *has == 0 {
                amounts.remove(&self.address);
            }
        }
    }
}

/// The memory that a request may take: of the process's, and of its client's part.
#[derive(Clone, Debug)]
pub struct RequestMemory {
    pub budget: Budget,
    client: Option<(PerAddress, IpAddr, u64)>,
}

impl RequestMemory {
    /// The sender of the request, where it is known.
    pub fn sender(&self) -> Option<Sender> {
        self.client.as_ref().map(|(_, address, _)| Sender::of(address))
    }

    pub fn new(
        budget: &Budget,
        rules: &ClientRules,
        clients: &PerAddress,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Self {
        let most = rules.memory(budget);
        let client = most
            .zip(peer)
            .and_then(|(most, peer)| Some((clients.clone(), rules.client(headers, peer)?, most)));
        Self { budget: budget.clone(), client }
    }

    /// Takes that many bytes of the client's part; `None` where it has no bound. `small` takers have an eighth beside it, so that
    /// what a client sends much of does not turn all else away that it sends.
    pub fn of_client(&self, bytes: u64, small: bool) -> Result<Option<Taken>, Problem> {
        let Some((clients, address, most)) = &self.client else { return Ok(None) };
        let most = with_eighth(*most, small);
        clients.take(*address, bytes, most).map(Some).ok_or_else(|| too_much(bytes, most))
    }

    /// Takes that many bytes more of the client's part.
    pub fn grow(&self, taken: &mut Option<Taken>, more: u64, small: bool) -> Result<(), Problem> {
        let Some(((_, _, most), taken)) = self.client.as_ref().zip(taken.as_mut()) else { return Ok(()) };
        let most = with_eighth(*most, small);
        if taken.grow(more, most) { Ok(()) } else { Err(too_much(taken.amount.saturating_add(more), most)) }
    }
}

fn with_eighth(most: u64, small: bool) -> u64 {
    if small { most.saturating_add(most / 8) } else { most }
}

fn too_much(bytes: u64, most: u64) -> Problem {
    if bytes > most {
        return Problem::too_large(format!(
            "{bytes} bytes are more than the {most} of bodies and answers that one client may have here (`per_client` in \
             `[server]`)"
        ));
    }
    Problem::client_full(format!(
        "the bodies and answers of this client that are in flight take all of the {most} bytes that it may have; send it \
         again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_much_until_it_is_dropped() {
        let amounts = PerAddress::default();
        let mut one = amounts.take(ip("10.0.0.1"), 3, 5).unwrap();
        assert!(amounts.take(ip("10.0.0.1"), 3, 5).is_none());
        assert!(amounts.take(ip("::ffff:10.0.0.1"), 3, 5).is_none(), "it is the same");
        let other = amounts.take(ip("10.0.0.2"), 5, 5).unwrap();
        assert!(one.grow(2, 5) && !one.grow(1, 5));
        let wide = amounts.take(ip("2001:db8::1"), 5, 5).unwrap();
        assert!(amounts.take(ip("2001:db8::2"), 1, 5).is_none(), "one network, one client");
        drop((one, other, wide));
        assert!(lock(&amounts.0).is_empty());
    }

    #[test]
    fn only_proxies_are_taken_at_their_word() {
        let rules = ClientRules {
            per_client: Some(PerClient::default()),
            proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
        };
        let client = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
            }
            rules.client(&headers, ip(peer)).map(|address| address.to_string())
        };
        let is = |address: &str| Some(address.to_owned());
        assert_eq!(client("9.9.9.9", &["1.1.1.1"]), is("9.9.9.9"));
        assert_eq!(client("10.0.0.1", &["1.1.1.1"]), is("1.1.1.1"));
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"]),
            is("1.1.1.1"),
            "the first may be made up"
        );
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "1.1.1.1:80"]), is("1.1.1.1"));
        assert_eq!(client("::1", &["[2001:db8::1]:80"]), is("2001:db8::1"));
        assert_eq!(client("10.0.0.1", &[]), None);
        assert_eq!(client("10.0.0.1", &["1.1.1.1, unknown"]), None);
        assert_eq!(rules.connections(ip("10.0.0.1"), 100), None);
        assert_eq!(rules.connections(ip("9.9.9.9"), 100), Some(50));
        assert_eq!(rules.connections(ip("9.9.9.9"), 1), Some(1));
    }
}
