//! The PROXY protocol, versions 1 and 2: for whom a load balancer speaks
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a connection's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preamble {
    /// No such header.
    None,
    /// Perhaps the beginning of one.
    More,
    /// A header of so many bytes, and the client where it names one (a balancer's own checks have none).
    Header(usize, Option<IpAddr>),
    /// One that is wrong, and how.
    Bad(&'static str),
}

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header of version 1, its end included.
const MAX_V1: usize = 107;
/// Longest of version 2: its head, and as much as balancers add of their own (TLVs).
const MAX_V2: usize = 16 + 2048;

/// Reads a header off the beginning of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Preamble {
    if bytes.starts_with(V1) {
        return v1(bytes);
    }
    if bytes.starts_with(V2) {
        return v2(bytes);
    }
    if V1.starts_with(bytes) || V2.starts_with(bytes) { Preamble::More } else { Preamble::None }
}

fn v1(bytes: &[u8]) -> Preamble {
    let Some(end) = bytes.iter().take(MAX_V1).position(|b| *b == b'\n') else {
        return if bytes.len() < MAX_V1 { Preamble::More } else { Preamble::Bad("its line is longer than 107 bytes") };
    };
    let line = std::str::from_utf8(&bytes[..end]).ok().and_then(|line| line.strip_suffix('\r'));
    let mut words = line.unwrap_or("").split(' ').skip(1);
    let client = match (words.next(), words.next(), words.next(), words.next(), words.next(), words.next()) {
        (Some("UNKNOWN"), ..) => Some(None),
        (Some("TCP4"), Some(from), Some(to), Some(port), Some(other), None) => {
            ends::<Ipv4Addr>(from, to, [port, other])
        }
        (Some("TCP6"), Some(from), Some(to), Some(port), Some(other), None) => {
            ends::<Ipv6Addr>(from, to, [port, other])
        }
        _ => None,
    };
    client.map_or(Preamble::Bad("its line does not read PROXY TCP4 from to port port"), |client| {
        Preamble::Header(end + 1, client)
    })
}

fn ends<A: std::str::FromStr + Into<IpAddr>>(from: &str, to: &str, ports: [&str; 2]) -> Option<Option<IpAddr>> {
    let (from, _): (A, A) = (from.parse().ok()?, to.parse().ok()?);
    ports.iter().all(|port| port.parse::<u16>().is_ok()).then(|| Some(from.into()))
}

fn v2(bytes: &[u8]) -> Preamble {
    let Some((head, rest)) = bytes.split_at_checked(16) else { return Preamble::More };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if 16 + length > MAX_V2 {
        return Preamble::Bad("it is longer than 2 KiB");
    }
    let Some(body) = rest.get(..length) else { return Preamble::More };
    let client = match (head[12], head[13]) {
        // LOCAL: the balancer itself.
        (0x20, _) | (0x21, 0x00) => None,
        (0x21, 0x11) if length >= 12 => body.first_chunk::<4>().map(|from| IpAddr::from(*from)),
        (0x21, 0x21) if length >= 36 => body.first_chunk::<16>().map(|from| IpAddr::from(*from)),
        (0x21, _) => return Preamble::Bad("it is of another protocol than TCP"),
        _ => return Preamble::Bad("it is of a version or command that nobody knows"),
    };
    Preamble::Header(16 + length, client)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], expected: Preamble) {
        assert_eq!(parse(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, body].concat()
    }

    fn client(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn both_versions_are_read() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
        check(&[line, &b"GET"[..]].concat(), Preamble::Header(line.len(), client("192.0.2.7")));
        check(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Preamble::Header(32, client("2001:db8::1")));
        check(b"PROXY UNKNOWN\r\n", Preamble::Header(15, None));
        check(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Preamble::Header(35, None));
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 1, 2, 3, 4];
        check(&binary(0x21, 0x11, &four), Preamble::Header(28, client("192.0.2.7")));
        check(&binary(0x21, 0x11, &[&four[..], &[3, 0, 1, 0]].concat()), Preamble::Header(32, client("192.0.2.7")));
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 20]].concat();
        check(&binary(0x21, 0x21, &six), Preamble::Header(52, client("2001:db8::1")));
        check(&binary(0x20, 0x00, &[]), Preamble::Header(16, None));
        check(&binary(0x21, 0x00, &[]), Preamble::Header(16, None));
    }

    #[test]
    fn the_rest_is_no_header_or_a_bad_one() {
        check(b"", Preamble::More);
        check(b"PROX", Preamble::More);
        check(b"\r\n\r\n", Preamble::More);
        check(b"PROXY TCP4 1.2.3.4", Preamble::More);
        check(b"GET / HTTP/1.1\r\n", Preamble::None);
        check(b"POST", Preamble::None);
        check(b"\x16\x03\x01", Preamble::None);
        for bad in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Preamble::Bad(_)), "{bad:?}");
        }
        assert!(matches!(parse(format!("PROXY {}", "x".repeat(200)).as_bytes()), Preamble::Bad(_)));
        for (command, family, body) in
            [(0x21, 0x11, 4), (0x21, 0x12, 12), (0x22, 0x11, 12), (0x11, 0x11, 12), (0x21, 0x11, 4000)]
        {
            assert!(matches!(parse(&binary(command, family, &vec![0; body])), Preamble::Bad(_)), "{command} {family}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A header is within the bytes, and more bytes change nothing of it.
        #[test]
        fn any_bytes(start in proptest::sample::select(vec![&b""[..], V1, V2, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2"]), rest in any::<Vec<u8>>()) {
            let bytes = [start, &rest].concat();
            let found = parse(&bytes);
            if let Preamble::Header(length, _) = found {
                prop_assert!(length <= bytes.len() && length <= MAX_V2);
            }
            if found != Preamble::More {
                prop_assert_eq!(parse(&[&bytes[..], b"GET / HTTP/1.1\r\n"].concat()), found);
            }
        }
    }
}
