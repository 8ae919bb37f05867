//! The locks and atomics of what shuttle tries: std's, and shuttle's in those tests.
//!
//! With the feature `shuttle`, tests are compiled against locks that shuttle schedules, so that it can take the
//! threads through orders that a machine rarely shows. Everything else is compiled against std's.

#[cfg(not(all(test, feature = "shuttle")))]
mod locks {
    use arc_swap::ArcSwap;
    use std::sync::Arc;
    pub use std::sync::atomic::{AtomicU64, Ordering};
    pub use std::sync::{Condvar, Mutex, MutexGuard};

    /// What a thread does that waits for another one.
    pub mod hint {
        pub use std::hint::spin_loop;
        pub use std::thread::yield_now;
    }

    /// A pointer that readers follow without waiting, and that a writer turns at once.
    pub struct Pointer<T>(ArcSwap<T>);

    impl<T> Pointer<T> {
        pub fn new(value: T) -> Self {
            Self(ArcSwap::from_pointee(value))
        }

        /// Follows the pointer for a moment, without a count.
        pub fn load(&self) -> arc_swap::Guard<Arc<T>> {
            self.0.load()
        }

        pub fn load_full(&self) -> Arc<T> {
            self.0.load_full()
        }

        pub fn store(&self, value: Arc<T>) {
            self.0.store(value);
        }
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod locks {
    pub use shuttle::sync::atomic::{AtomicU64, Ordering};
    pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
    use std::sync::Arc;

    /// What a thread does that waits for another one.
    pub mod hint {
        pub use shuttle::hint::spin_loop;
        pub use shuttle::thread::yield_now;
    }

    /// A pointer as the other one is, each access a step that shuttle schedules.
    pub struct Pointer<T>(Mutex<Arc<T>>);

    impl<T> Pointer<T> {
        pub fn new(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub fn load(&self) -> Arc<T> {
            self.load_full()
        }

        pub fn load_full(&self) -> Arc<T> {
            super::lock(&self.0).clone()
        }

        pub fn store(&self, value: Arc<T>) {
            let old = std::mem::replace(&mut *super::lock(&self.0), value);
            // Whatever its drop does is done outside the lock.
            drop(old);
        }
    }
}

pub use locks::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, Pointer, hint};
use std::sync::PoisonError;

/// Takes a lock, also where a thread that held it panicked: what is guarded is whole between two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
