//! A message's headers.

use bytes::Bytes;

use super::split;

/// The most headers of a message.
const MAX_COUNT: usize = 256;

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, at most 255 bytes.
    pub name: String,
    /// The value.
    pub value: HeaderValue,
}

impl Header {
    /// A header of text.
    #[must_use]
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: HeaderValue::Text(value.into()) }
    }
}

/// A header's value, of one of ten types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// Types 0 and 1.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Int(i32),
    /// Type 5.
    Long(i64),
    /// Type 6, at most 65,535.
    Bytes(Bytes),
    /// Type 7, at most 65,535 bytes.
    Text(String),
    /// Type 8, in milliseconds since 1970.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// Reads all headers; `None` if they are malformed.
pub(super) fn read(bytes: &Bytes) -> Option<Vec<Header>> {
    let mut at = 0;
    let mut headers = Vec::new();
    while at < bytes.len() {
        if headers.len() >= MAX_COUNT {
            return None;
        }
        let len = usize::from(fixed::<1>(bytes, &mut at)?[0]);
        let name = text(split(bytes, &mut at, len)?)?;
        let value = value(bytes, &mut at)?;
        headers.push(Header { name, value });
    }
    Some(headers)
}

fn value(bytes: &Bytes, at: &mut usize) -> Option<HeaderValue> {
    let [kind] = fixed(bytes, at)?;
    Some(match kind {
        0 => HeaderValue::Bool(true),
        1 => HeaderValue::Bool(false),
        2 => HeaderValue::Byte(i8::from_be_bytes(fixed(bytes, at)?)),
        3 => HeaderValue::Short(i16::from_be_bytes(fixed(bytes, at)?)),
        4 => HeaderValue::Int(i32::from_be_bytes(fixed(bytes, at)?)),
        5 => HeaderValue::Long(i64::from_be_bytes(fixed(bytes, at)?)),
        6 => HeaderValue::Bytes(counted(bytes, at)?),
        7 => HeaderValue::Text(text(counted(bytes, at)?)?),
        8 => HeaderValue::Timestamp(i64::from_be_bytes(fixed(bytes, at)?)),
        9 => HeaderValue::Uuid(fixed(bytes, at)?),
        _ => return None,
    })
}

fn fixed<const N: usize>(bytes: &Bytes, at: &mut usize) -> Option<[u8; N]> {
    split(bytes, at, N)?.first_chunk().copied()
}

fn counted(bytes: &Bytes, at: &mut usize) -> Option<Bytes> {
    let len = u16::from_be_bytes(fixed(bytes, at)?);
    split(bytes, at, usize::from(len))
}

fn text(bytes: Bytes) -> Option<String> {
    String::from_utf8(bytes.into()).ok()
}

/// Writes one header. A name or value that is too long is cut, as only tests and fake providers
/// write any.
pub(super) fn write(header: &Header, out: &mut Vec<u8>) {
    let name = crate::text::cut(&header.name, usize::from(u8::MAX)).as_bytes();
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name);
    let mut put = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(bytes);
    };
    match &header.value {
        HeaderValue::Bool(true) => put(0, &[]),
        HeaderValue::Bool(false) => put(1, &[]),
        HeaderValue::Byte(number) => put(2, &number.to_be_bytes()),
        HeaderValue::Short(number) => put(3, &number.to_be_bytes()),
        HeaderValue::Int(number) => put(4, &number.to_be_bytes()),
        HeaderValue::Long(number) => put(5, &number.to_be_bytes()),
        HeaderValue::Bytes(bytes) => put(6, &with_length(bytes)),
        HeaderValue::Text(text) => put(7, &with_length(crate::text::cut(text, usize::from(u16::MAX)).as_bytes())),
        HeaderValue::Timestamp(number) => put(8, &number.to_be_bytes()),
        HeaderValue::Uuid(bytes) => put(9, bytes),
    }
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let kept = bytes.get(..usize::from(len)).unwrap_or(bytes);
    [&len.to_be_bytes(), kept].concat()
}
