//! The head of a request: its line and its fields (RFC 9112, 3 to 6).

use super::authority::{are_same, is_plain};
use super::{Framing, MAX_HEAD, MAX_HEADERS, Refusal};

const TOO_LARGE: Refusal = Refusal {
    status: 431,
    code: "headers_too_large",
    message: "the request's line and headers are longer than 32 KiB; send fewer or shorter ones",
};
const TOO_MANY: Refusal =
    Refusal { status: 431, code: "headers_too_many", message: "the request has more than 100 headers; send fewer" };
const CONNECT: Refusal = Refusal {
    status: 405,
    code: "method_not_allowed",
    message: "this gateway is no proxy: it does not accept CONNECT; point the client's base URL at it instead",
};
const TLS: Refusal = Refusal::bad("tls_on_plain_port", "this port speaks plain HTTP and got TLS; use http:// here");
const PROXY: Refusal = Refusal::bad(
    "proxy_not_trusted",
    "a PROXY protocol header is believed only from the addresses in server.trusted_proxies",
);
const LINE: Refusal = Refusal::bad(
    "invalid_request_line",
    "the request line must read METHOD, one space, target, one space, HTTP/1.1 or HTTP/1.0",
);
const METHOD: Refusal = Refusal::bad("invalid_method", "methods are written in upper case, such as GET or POST");
const TARGET: Refusal = Refusal::bad(
    "invalid_target",
    "the request's target must be a path that begins with /, or an http(s) URL, with other characters percent-encoded",
);
const ENDING: Refusal =
    Refusal::bad("invalid_line_ending", "every line of the request's head must end with CR and LF, and have no other");
const FIELD: Refusal = Refusal::bad(
    "invalid_header",
    "a header must read name, colon, value, on one line, without a space before the colon and without control characters",
);
const NO_HOST: Refusal = Refusal::bad("invalid_host", "the request has no Host header; HTTP/1.1 needs one");
const TWO_HOSTS: Refusal = Refusal::bad("invalid_host", "the request has more than one Host header; send one");
const HOST: Refusal =
    Refusal::bad("invalid_host", "the Host header must be a host name or address, with a port or without");
const OTHER_HOST: Refusal =
    Refusal::bad("invalid_host", "the request's target and its Host header name different hosts");
const LENGTH: Refusal =
    Refusal::bad("invalid_content_length", "Content-Length must be one number of decimal digits, sent once");
const CODING: Refusal = Refusal::bad(
    "invalid_transfer_encoding",
    "the only Transfer-Encoding that is understood is 'chunked', sent once, in HTTP/1.1",
);
const BOTH: Refusal = Refusal::bad(
    "invalid_transfer_encoding",
    "Content-Length and Transfer-Encoding must not be sent together; send one of them",
);

/// Where a head ends, if it does: after its empty line. So many bytes were searched before.
pub(super) fn end(bytes: &[u8], searched: usize) -> Result<Option<usize>, Refusal> {
    first_byte(bytes)?;
    for at in memchr::memchr_iter(b'\n', &bytes[searched..]).map(|at| searched + at) {
        if at >= MAX_HEAD {
            return Err(TOO_LARGE);
        }
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(ENDING);
        }
        if at >= 3 && bytes[at - 3..at] == *b"\r\n\r" {
            return Ok(Some(at + 1));
        }
    }
    if bytes.len() >= MAX_HEAD { Err(TOO_LARGE) } else { Ok(None) }
}

/// What cannot become a head is not waited for.
fn first_byte(bytes: &[u8]) -> Result<(), Refusal> {
    match bytes.first() {
        Some(0x16) => Err(TLS),
        Some(b'\r') | None => Ok(()),
        Some(b'\n') => Err(ENDING),
        Some(byte) if is_token(*byte) => Ok(()),
        Some(_) => Err(LINE),
    }
}

/// Checks a whole head, and says how long the body after it is.
pub(super) fn check(head: &[u8]) -> Result<Framing, Refusal> {
    // An empty line before the request is left over by old clients after a body (RFC 9112, 2.2).
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let mut lines = Lines(head);
    let line = Line::parse(lines.next().ok_or(LINE)??)?;
    let mut fields = Fields::default();
    for field in lines {
        let field = field?;
        if field.is_empty() {
            break;
        }
        fields.take(field)?;
    }
    fields.host(&line)?;
    fields.framing(line.is_11)
}

/// The lines of a head, without their ends.
struct Lines<'h>(&'h [u8]);

impl<'h> Iterator for Lines<'h> {
    type Item = Result<&'h [u8], Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at(end + 1);
        self.0 = rest;
        Some(line.strip_suffix(b"\r\n").ok_or(ENDING))
    }
}

/// Scheme and authority of an absolute target.
type Origin<'h> = (&'h [u8], &'h [u8]);

struct Line<'h> {
    origin: Option<Origin<'h>>,
    is_11: bool,
}

impl<'h> Line<'h> {
    fn parse(line: &'h [u8]) -> Result<Self, Refusal> {
        let mut parts = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(if line.starts_with(b"PROXY ") { PROXY } else { LINE });
        };
        if method.is_empty() || !method.iter().copied().all(is_token) {
            return Err(LINE);
        }
        if method.iter().any(u8::is_ascii_lowercase) {
            return Err(METHOD);
        }
        let is_11 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(LINE),
        };
        if method == b"CONNECT" {
            return Err(CONNECT);
        }
        Ok(Self { origin: target_origin(method, target)?, is_11 })
    }
}

/// Checks a target; scheme and authority of an absolute one.
fn target_origin<'h>(method: &[u8], target: &'h [u8]) -> Result<Option<Origin<'h>>, Refusal> {
    if target.first() == Some(&b'/') {
        return path_and_query(target).map(|()| None);
    }
    if target == b"*" && method == b"OPTIONS" {
        return Ok(None);
    }
    let scheme = [&b"http"[..], b"https"]
        .into_iter()
        .find(|scheme| starts_with_ignoring_case(target, scheme) && target[scheme.len()..].starts_with(b"://"))
        .ok_or(TARGET)?;
    let (scheme, rest) = target.split_at(scheme.len());
    let rest = &rest[3..];
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    path_and_query(path)?;
    if is_plain(authority) { Ok(Some((scheme, authority))) } else { Err(TARGET) }
}

fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// What `http::Uri` takes as well, less fragments, which it drops in silence, and what is not ASCII.
fn path_and_query(text: &[u8]) -> Result<(), Refusal> {
    let query = memchr::memchr(b'?', text).unwrap_or(text.len());
    let (path, query) = text.split_at(query);
    let fits_path = |b: &u8| matches!(b, 0x21 | 0x24..=0x3B | 0x3D | 0x40..=0x5B | 0x5D..=0x5F | 0x61..=0x7A | 0x7C | 0x7E | b'"' | b'{' | b'}');
    let fits_query = |b: &u8| matches!(b, 0x21 | 0x24..=0x3B | 0x3D | 0x3F..=0x7E);
    if path.iter().all(fits_path) && query.iter().all(fits_query) { Ok(()) } else { Err(TARGET) }
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What the fields say of host and framing.
#[derive(Default)]
struct Fields<'h> {
    count: usize,
    host: Option<&'h [u8]>,
    length: Option<u64>,
    is_chunked: bool,
}

impl<'h> Fields<'h> {
    fn take(&mut self, field: &'h [u8]) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > MAX_HEADERS {
            return Err(TOO_MANY);
        }
        let colon = memchr::memchr(b':', field).ok_or(FIELD)?;
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        let is_printable = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7F);
        if name.is_empty() || !name.iter().copied().all(is_token) || !value.iter().all(is_printable) {
            return Err(FIELD);
        }
        let value = value.trim_ascii();
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.take_host(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.take_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.take_coding(value),
            _ => Ok(()),
        }
    }

    fn take_host(&mut self, value: &'h [u8]) -> Result<(), Refusal> {
        if self.host.replace(value).is_some() {
            return Err(TWO_HOSTS);
        }
        if is_plain(value) { Ok(()) } else { Err(HOST) }
    }

    fn take_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        // Nineteen digits are less than hyper's largest length, and more than anybody sends.
        let is_number = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().filter(|_| is_number).and_then(|digits| digits.parse().ok());
        match (self.length, number) {
            (None, Some(length)) => self.length = Some(length),
            _ => return Err(LENGTH),
        }
        Ok(())
    }

    fn take_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(CODING);
        }
        self.is_chunked = true;
        Ok(())
    }

    fn host(&self, line: &Line<'_>) -> Result<(), Refusal> {
        match (self.host, line.origin) {
            (None, _) if line.is_11 => Err(NO_HOST),
            (Some(host), Some((scheme, authority))) if !are_same(scheme, authority, host) => Err(OTHER_HOST),
            _ => Ok(()),
        }
    }

    fn framing(&self, is_11: bool) -> Result<Framing, Refusal> {
        match (self.length, self.is_chunked) {
            (Some(_), true) => Err(BOTH),
            (None, true) if !is_11 => Err(CODING),
            (None, true) => Ok(Framing::Chunked),
            (length, false) => Ok(Framing::Sized(length.unwrap_or(0))),
        }
    }
}
