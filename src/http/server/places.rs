//! How many connections there may be, in all and of one client.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for connections.
#[derive(Clone, Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    most_of_one: Option<usize>,
    /// Connections by client: no more entries than connections.
    by_client: Arc<Mutex<HashMap<IpAddr, usize>>>,
    open: IntGauge,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    client: Option<IpAddr>,
    places: Places,
}

impl Places {
    /// So many in all and, if that is bounded, of one client. `open` tells how many there are.
    #[must_use]
    pub fn new(most: u64, most_of_one: Option<u64>, open: IntGauge) -> Self {
        let size = |most: u64| usize::try_from(most).unwrap_or(usize::MAX);
        Self {
            all: Arc::new(Semaphore::new(size(most).min(Semaphore::MAX_PERMITS))),
            most_of_one: most_of_one.map(size),
            by_client: Arc::default(),
            open,
        }
    }

    /// Waits for a place.
    pub async fn take(&self) -> Option<Place> {
        let permit = Arc::clone(&self.all).acquire_owned().await.ok()?;
        self.open.inc();
        Some(Place { _permit: permit, client: None, places: self.clone() })
    }
}

impl Place {
    /// Counts it as one of this client's; `false` if that has as many as it may.
    #[must_use]
    pub fn count(&mut self, client: IpAddr) -> bool {
        let Some(most) = self.places.most_of_one else { return true };
        let client = network(client);
        let mut by_client = self.places.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_client.entry(client).or_insert(0);
        if *count >= most {
            return false;
        }
        *count += 1;
        drop(by_client);
        self.client = Some(client);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open.dec();
        let Some(client) = self.client else { return };
        let mut by_client = self.places.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = by_client.entry(client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// What counts as one client: who has one IPv6 address has its whole /64.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & !u128::from(u64::MAX)).into(),
        addr => addr,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn places(most: u64, of_one: Option<u64>) -> Places {
        Places::new(most, of_one, IntGauge::new("open", "open").unwrap())
    }

    fn take(places: &Places) -> Option<Place> {
        places.take().now_or_never().flatten()
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let places = places(2, Some(1));
        let client: IpAddr = "10.0.0.1".parse().unwrap();
        let (mut first, mut second) = (take(&places).unwrap(), take(&places).unwrap());
        assert!(take(&places).is_none());
        assert!(first.count(client) && !second.count(client) && second.count("10.0.0.2".parse().unwrap()));
        assert_eq!(places.open.get(), 2);
        drop(first);
        assert!(take(&places).unwrap().count("::ffff:10.0.0.1".parse().unwrap()));
        drop(second);
        assert_eq!((places.open.get(), places.by_client.lock().unwrap().len()), (0, 0));
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let places = places(10, Some(1));
        let mut held = take(&places).unwrap();
        assert!(held.count("2001:db8::1".parse().unwrap()));
        assert!(!take(&places).unwrap().count("2001:db8::2:1".parse().unwrap()));
        assert!(take(&places).unwrap().count("2001:db8:0:1::1".parse().unwrap()));
    }
}
