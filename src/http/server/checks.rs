//! What a request must be before it is routed, over HTTP/1 and HTTP/2 alike. What only the bytes of
//! HTTP/1 show was checked before ([`super::guard`]).

use http::uri::Authority;
use http::{HeaderMap, Method, Request, header};
use weir_wire::http1::{MAX_HEADERS, Refusal, authority};

const fn bad(code: &'static str, message: &'static str) -> Refusal {
    Refusal { status: 400, code, message }
}

const METHOD: Refusal = bad("invalid_method", "methods are written in upper case, such as GET or POST");
const CONNECT: Refusal = Refusal {
    status: 405,
    code: "method_not_allowed",
    message: "this gateway is no proxy: it does not accept CONNECT; point the client's base URL at it instead",
};
const TOO_MANY: Refusal =
    Refusal { status: 431, code: "headers_too_many", message: "the request has more than 100 headers; send fewer" };
const HOST: Refusal =
    bad("invalid_host", "the request must name one host, with a port or without: :authority and Host must be the same");
const EMPTY: Refusal =
    bad("invalid_path", "the path has an empty segment (//); look for a / at the end of the base URL");
const DOTS: Refusal = bad("invalid_path", "the path has a segment . or .., plain or encoded; send it resolved");
const ESCAPE: Refusal =
    bad("invalid_path", "the path has a % without two hexadecimal digits, or an encoded control character");

/// Checks a request.
///
/// # Errors
/// Why it is refused.
pub fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(CONNECT);
    }
    if request.method().as_str().bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(METHOD);
    }
    if request.headers().len() > MAX_HEADERS {
        return Err(TOO_MANY);
    }
    if request.version() == http::Version::HTTP_2 {
        host(request.uri().authority(), request.headers())?;
    }
    path(request.uri().path())
}

fn host(named: Option<&Authority>, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, None) = (hosts.next(), hosts.next()) else { return Err(HOST) };
    let named = named.map(|authority| authority.as_str().as_bytes());
    let host = host.map(http::HeaderValue::as_bytes);
    let is_same = |one: &[u8], other: &[u8]| one.eq_ignore_ascii_case(other);
    match (named, host) {
        (Some(named), Some(host)) if !is_same(named, host) => Err(HOST),
        (Some(name), _) | (None, Some(name)) if authority::is_plain(name) => Ok(()),
        _ => Err(HOST),
    }
}

/// The path is the one that the router sees; a proxy in front may see another in what is refused here.
fn path(path: &str) -> Result<(), Refusal> {
    let bytes = path.as_bytes();
    // Most paths have nothing to look at.
    if !bytes.contains(&b'%') && !bytes.windows(2).any(|pair| matches!(pair, b"//" | b"/.")) {
        return Ok(());
    }
    if bytes.windows(2).any(|pair| pair == b"//") {
        return Err(EMPTY);
    }
    let mut segment = Segment::Empty;
    let mut rest = bytes;
    while let Some((byte, after)) = next(rest)? {
        segment = match (byte, segment) {
            (b'/' | b'\\', Segment::Dot | Segment::Dots) => return Err(DOTS),
            (b'/' | b'\\', _) => Segment::Empty,
            (b'.', Segment::Empty) => Segment::Dot,
            (b'.', Segment::Dot) => Segment::Dots,
            _ => Segment::Other,
        };
        rest = after;
    }
    if matches!(segment, Segment::Dot | Segment::Dots) { Err(DOTS) } else { Ok(()) }
}

/// What a segment is so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Empty,
    Dot,
    Dots,
    Other,
}

/// The next byte of a path, decoded, and what comes after it.
fn next(path: &[u8]) -> Result<Option<(u8, &[u8])>, Refusal> {
    let (byte, rest) = match path {
        [] => return Ok(None),
        [b'%', high, low, rest @ ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(ESCAPE) };
            (high << 4 | low, rest)
        }
        [b'%', ..] => return Err(ESCAPE),
        [byte, rest @ ..] => (*byte, rest),
    };
    if byte.is_ascii_control() { Err(ESCAPE) } else { Ok(Some((byte, rest))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_others_may_read_otherwise_are_refused() {
        for fine in [
            "",
            "/",
            "*",
            "/v1/",
            "/v1/models/gpt-4.1",
            "/v1/models/a..b",
            "/v1/files/a%2Fb",
            "/v1/files/%252e%252e",
            "/v1/x/.hidden",
            "/v1/x/..hidden",
            "/v1/%ff",
            "/v1beta/models/m:generateContent",
            "/v1/a%20b",
        ] {
            assert_eq!(path(fine), Ok(()), "{fine}");
        }
        for empty in ["//", "//v1", "/v1//files", "/v1/files//"] {
            assert_eq!(path(empty), Err(EMPTY), "{empty}");
        }
        for dots in [
            "/.",
            "/..",
            "/v1/../admin",
            "/v1/./x",
            "/v1/..",
            "/v1/%2e%2E/x",
            "/v1/.%2e",
            "/v1/..%2fadmin",
            "/v1/x%2F..%2F..%2Fadmin",
            "/v1/%5c..%5cx",
            "/v1/..%5c",
        ] {
            assert_eq!(path(dots), Err(DOTS), "{dots}");
        }
        for escape in ["/%", "/%4", "/%zz", "/v1/%00", "/v1/a%0d%0ab", "/%7f", "/%+1"] {
            assert_eq!(path(escape), Err(ESCAPE), "{escape}");
        }
    }

    #[test]
    fn over_http2_the_host_is_one() {
        let check_host = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().version(http::Version::HTTP_2).uri(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            check(&request.body(()).unwrap()).is_ok()
        };
        assert!(check_host("http://x/", &[]) && check_host("http://x:80/", &["X:80"]) && check_host("/", &["x"]));
        assert!(!check_host("/", &[]) && !check_host("http://x/", &["y"]) && !check_host("http://u@x/", &[]));
        assert!(!check_host("http://x/", &["x", "x"]) && !check_host("/", &["a/b"]));
    }

    #[test]
    fn methods_and_numbers_of_headers() {
        let with = |method: &str, headers: usize| {
            let request = Request::builder().method(method).uri("/");
            let request = (0..headers).fold(request, |request, _| request.header("a", "b"));
            check(&request.body(()).unwrap())
        };
        assert_eq!(with("BREW", 100), Ok(()));
        assert_eq!((with("get", 0), with("CONNECT", 0), with("GET", 101)), (Err(METHOD), Err(CONNECT), Err(TOO_MANY)));
    }
}
