//! Whose turn it is, in simulated time. Items are numbers; "h", "n" and "l" are their priorities.

use super::*;
use std::cell::Cell;
use std::rc::Rc;

const ALLOWED: Duration = Duration::from_secs(8);

/// An item that any other may run with.
struct Waits {
    number: f32,
    terms: Terms,
    queued: Instant,
    left: Rc<Cell<bool>>,
}

impl Waiting for Waits {
    fn terms(&self) -> Terms {
        self.terms
    }

    fn queued(&self) -> Instant {
        self.queued
    }

    fn is_abandoned(&self) -> bool {
        self.left.get()
    }

    fn joins(&self, _: &Self) -> bool {
        true
    }
}

struct Bench {
    queue: Queue<Waits>,
    zero: Instant,
    /// Whether whoever waited for each item has left.
    clients: Vec<Rc<Cell<bool>>>,
}

impl Bench {
    fn new(limit: usize, max: usize) -> Self {
        let queue = Queue::new(limit, BatchPolicy::up_to(max));
        Self { queue, zero: Instant::now(), clients: vec![] }
    }

    fn at(&self, millis: u64) -> Instant {
        self.zero + Duration::from_millis(millis)
    }

    /// An item `name` that comes at a time: whether it was taken in, and who lost the place for it.
    fn come(&mut self, millis: u64, name: &str, begun: bool) -> (bool, Vec<(f32, DropReason)>) {
        let (priority, number) = name.split_at(1);
        let priority = match priority {
            "h" => Priority::High,
            "n" => Priority::Normal,
            _ => Priority::Low,
        };
        let left = Rc::new(Cell::new(false));
        self.clients.push(left.clone());
        let now = self.at(millis);
        let number = number.parse().unwrap();
        let item = Waits {
            number,
            terms: Terms { deadline: now + ALLOWED, priority, begun, sender: None },
            queued: now,
            left,
        };
        let mut dead = vec![];
        let taken = self.queue.push(item, now, &mut dead).is_ok();
        (taken, dead.iter().map(|(item, why)| (item.number, *why)).collect())
    }

    fn come_all(&mut self, items: &[(u64, &str)]) {
        for (millis, name) in items {
            assert_eq!(self.come(*millis, name, false), (true, vec![]), "{name}");
        }
    }

    fn take(&mut self, millis: u64) -> Vec<f32> {
        let now = self.at(millis);
        self.queue.take(now).rows.iter().map(|item| item.number).collect()
    }
}

/// When each comes, and its name.
type Arrivals<'a> = &'a [(u64, &'a str)];

/// What is allowed 8 s gives way for 2 s where it is normal, and for 4 s where it is low.
#[test]
fn higher_goes_first_until_the_lower_has_waited_its_part() {
    let table: [(Arrivals<'_>, &[f32]); 5] = [
        (&[(0, "l1"), (1, "n2"), (2, "h3"), (3, "h4")], &[3., 4., 2., 1.]),
        (&[(0, "n1"), (1900, "h2"), (2100, "h3")], &[2., 1., 3.]),
        (&[(0, "l1"), (3900, "h2"), (4100, "h3")], &[2., 1., 3.]),
        (&[(0, "l1"), (1900, "n2"), (2100, "n3")], &[2., 1., 3.]),
        (&[(0, "n1"), (1, "n2"), (2, "n3")], &[1., 2., 3.]),
    ];
    for (items, expected) in table {
        let mut one = Bench::new(16, 1);
        one.come_all(items);
        let order: Vec<f32> = items.iter().flat_map(|_| one.take(4200)).collect();
        assert_eq!(order, expected, "{items:?}");
        let mut together = Bench::new(16, 8);
        together.come_all(items);
        assert_eq!(together.take(4200), expected, "in one batch: {items:?}");
    }
}

#[test]
fn low_is_not_starved_by_a_flood_of_high() {
    let mut bench = Bench::new(64, 1);
    bench.come_all(&[(0, "l1")]);
    // Three come for two that are run, and the queue fills.
    let served = (1..200).find(|n| {
        bench.come(n * 100, "h2", false);
        if n % 2 == 0 {
            bench.come(n * 100 + 1, "h2", false);
        }
        bench.take(n * 100 + 2) == [1.0]
    });
    // The sixty that come within its 4 s go first.
    assert!(served.is_some_and(|n| (40..=61).contains(&n)), "{served:?}");
}

#[test]
fn what_has_begun_goes_into_a_queue_that_is_full_for_newcomers() {
    let mut bench = Bench::new(2, 8);
    bench.come_all(&[(0, "n1"), (1, "n2")]);
    assert_eq!(bench.come(2, "h3", false), (false, vec![]));
    assert!(bench.come(3, "n4", true).0);
    assert!(bench.come(4, "l5", true).0);
    assert_eq!(bench.come(5, "h6", true), (false, vec![]), "twice the limit is the end");
    assert_eq!(bench.take(6), [1., 2., 4., 5.]);
}

#[test]
fn low_fills_half_of_the_places_so_that_others_find_theirs() {
    let mut bench = Bench::new(4, 1);
    bench.come_all(&[(0, "l1"), (0, "l2")]);
    assert!(!bench.come(0, "l3", false).0);
    // Work that was begun is not thrown away for it.
    assert!(bench.come(0, "l4", true).0);
    assert!(bench.come(0, "n5", false).0);
    assert!(!bench.come(0, "n6", false).0);
    assert!(!bench.come(0, "l7", false).0);
    // A queue of one place is for all.
    assert!(Bench::new(1, 1).come(0, "l1", false).0);
}

#[test]
fn those_who_left_make_room() {
    let mut bench = Bench::new(2, 8);
    bench.come_all(&[(0, "n1"), (1, "n2")]);
    bench.clients[1].set(true);
    assert_eq!(bench.come(2, "h3", false), (true, vec![(2., DropReason::Gone)]));
    assert_eq!(bench.take(3), [3., 1.]);
}

/// Whoever waits gives up at the deadline as well, so that such items counted as those of clients that left.
#[test]
fn an_item_past_its_deadline_is_that_although_nobody_waits_for_it_any_more() {
    let mut bench = Bench::new(8, 8);
    bench.come_all(&[(0, "n1"), (100, "n2")]);
    bench.clients.iter().for_each(|left| left.set(true));
    let dead = |millis, bench: &mut Bench| {
        let now = bench.at(millis);
        bench.queue.take(now).dropped.iter().map(|(item, why)| (item.number, *why)).collect::<Vec<_>>()
    };
    assert_eq!(dead(8050, &mut bench), [(1.0, DropReason::Deadline), (2.0, DropReason::Gone)]);
}
