//! Hosts and ports as requests name them.

/// Whether a `Host` header, or the authority of an absolute target, names a host and perhaps a port and
/// nothing else. Stricter than RFC 3986, which has room for user names, escapes and `;`: a gateway's name has
/// none, and what follows an `@` or `#` has misled others.
#[must_use]
pub fn is_plain(text: &[u8]) -> bool {
    let (host, port) = split(text);
    let is_name = !host.is_empty() && host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(b));
    let inner = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let is_address = inner
        .is_some_and(|inner| inner.contains(&b':') && inner.iter().all(|b| b.is_ascii_hexdigit() || b":.".contains(b)));
    (is_name || is_address) && port.is_none_or(is_port)
}

fn is_port(text: &[u8]) -> bool {
    (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// Host and port; a colon within brackets belongs to the host.
fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().rposition(|b| *b == b':') {
        Some(colon) if !text[colon..].contains(&b']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    }
}

/// Whether two authorities are the same host and port; 80 is http's port and 443 https's, and names are
/// compared without case.
#[must_use]
pub fn are_same(scheme: &[u8], one: &[u8], other: &[u8]) -> bool {
    let default: &[u8] = if scheme.eq_ignore_ascii_case(b"https") { b"443" } else { b"80" };
    let (one, other) = (split(one), split(other));
    one.0.eq_ignore_ascii_case(other.0) && one.1.unwrap_or(default) == other.1.unwrap_or(default)
}
