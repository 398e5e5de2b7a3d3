//! Who a request is from: the peer, or whom a trusted proxy says it speaks for.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

use crate::config::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request that came from `peer`. The last address that no trusted proxy has is the
/// client's: what stands before it anybody can write. Where `forwarded` and `x-forwarded-for` tell different
/// things one of them is the client's own, and neither is believed.
#[must_use]
pub fn of(headers: &HeaderMap, peer: IpAddr, trusted: &[Network]) -> IpAddr {
    let is_trusted = |addr: IpAddr| trusted.iter().any(|network| network.contains(addr));
    if !is_trusted(peer) {
        return peer;
    }
    let x_forwarded = list(headers, &X_FORWARDED_FOR).map(str::trim).map(address);
    let forwarded = list(headers, &header::FORWARDED).filter_map(element).map(address);
    let (x_forwarded, forwarded) = (last(x_forwarded, peer, is_trusted), last(forwarded, peer, is_trusted));
    match (x_forwarded, forwarded) {
        (Some(one), Some(other)) if one != other => peer,
        (one, other) => one.or(other).unwrap_or(peer),
    }
}

/// The items of all headers of a name, the last first. Commas within quotes are none of these headers'.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> + use<'h> {
    let values: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("")).collect();
    values.into_iter().rev().flat_map(|value| value.rsplit(','))
}

/// The `for` of an element of `forwarded` (RFC 7239, 4), if it has one.
fn element(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with a port or without, `[..]` around IPv6 or not.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let found = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip()));
    found.map(|addr: IpAddr| addr.to_canonical())
}

/// The first that is not trusted. What is no address (`unknown`, `_hidden`) ends the search at who said it.
fn last(
    found: impl Iterator<Item = Option<IpAddr>>,
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut client = None;
    for addr in found {
        let Some(addr) = addr else { return client.or(Some(peer)) };
        client = Some(addr);
        if !is_trusted(addr) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], peer: &str, expected: &str) {
        let map: HeaderMap = headers.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        assert_eq!(
            of(&map, peer.parse().unwrap(), &trusted),
            expected.parse::<IpAddr>().unwrap(),
            "{headers:?} {peer}"
        );
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_as_far_as_they_saw() {
        let x = "x-forwarded-for";
        check(&[], "192.0.2.1", "192.0.2.1");
        check(&[(x, "198.51.100.9")], "192.0.2.1", "192.0.2.1");
        check(&[(x, "198.51.100.9")], "10.0.0.1", "198.51.100.9");
        check(&[(x, "1.1.1.1, 198.51.100.9")], "10.0.0.1", "198.51.100.9");
        check(&[(x, "1.1.1.1, 198.51.100.9, 10.0.0.2")], "10.0.0.1", "198.51.100.9");
        check(&[(x, "10.0.0.9, 10.0.0.2")], "10.0.0.1", "10.0.0.9");
        check(&[(x, "198.51.100.9:4711")], "10.0.0.1", "198.51.100.9");
        check(&[(x, "unknown")], "10.0.0.1", "10.0.0.1");
        check(&[(x, "1.1.1.1, rubbish, 10.0.0.2")], "10.0.0.1", "10.0.0.2");
        check(&[(x, "")], "10.0.0.1", "10.0.0.1");
        check(&[], "10.0.0.1", "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_as_well_and_must_agree() {
        let (x, f) = ("x-forwarded-for", "forwarded");
        check(&[(f, "for=198.51.100.9;proto=https, for=10.0.0.2")], "10.0.0.1", "198.51.100.9");
        check(&[(f, "proto=https;For=\"[2001:db8::1]:4711\"")], "fd00::1", "2001:db8::1");
        check(&[(f, "for=_hidden")], "10.0.0.1", "10.0.0.1");
        check(&[(f, "by=1.2.3.4")], "10.0.0.1", "10.0.0.1");
        check(&[(f, "for=198.51.100.9"), (x, "198.51.100.9")], "10.0.0.1", "198.51.100.9");
        check(&[(f, "for=1.1.1.1"), (x, "198.51.100.9")], "10.0.0.1", "10.0.0.1");
    }
}
