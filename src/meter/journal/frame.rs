//! A record on the disk: `length u32 | crc32 u32 | kind u8 | ticket u64 | JSON`, little-endian. The
//! length is that of kind, ticket and JSON, which the CRC covers.

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request goes to an upstream: its row, should the process die.
    Begin,
    /// A request has ended: its row.
    Settle,
}

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it says.
    pub kind: Kind,
    /// The request, within its process.
    pub ticket: u64,
    /// The row as JSON.
    pub json: Vec<u8>,
}

const HEAD: usize = 8;
const INNER: usize = 9;
/// No record is longer: texts in rows are bounded.
const MAX: usize = 4 * 1024 * 1024;

/// A record's bytes; its JSON is what `write` appends to them.
pub(super) fn build<E>(
    kind: Kind,
    ticket: u64,
    size: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let mut out = Vec::with_capacity(HEAD + INNER + size);
    out.extend([0; HEAD]);
    out.push(match kind {
        Kind::Begin => 1,
        Kind::Settle => 2,
    });
    out.extend(ticket.to_le_bytes());
    write(&mut out)?;
    let inner = u32::try_from(out.len() - HEAD).unwrap_or(u32::MAX);
    let crc = crc32fast::hash(&out[HEAD..]);
    out[..4].copy_from_slice(&inner.to_le_bytes());
    out[4..HEAD].copy_from_slice(&crc.to_le_bytes());
    Ok(out)
}

/// What stands at the begin of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, and how long it is.
    Record(Record, usize),
    /// Nothing whole: the end, or a record that was being written.
    Partial,
    /// Something that was never written so.
    Broken,
}

pub(super) fn read(bytes: &[u8]) -> Found {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(u32::from_le_bytes);
    let (Some(inner), Some(crc)) = (word(0), word(4)) else { return Found::Partial };
    let inner = inner as usize;
    if inner == 0 {
        return Found::Partial; // reserved and not written
    }
    if !(INNER..=MAX).contains(&inner) {
        return Found::Broken;
    }
    let Some(body) = bytes.get(HEAD..HEAD + inner) else { return Found::Partial };
    if crc32fast::hash(body) != crc {
        return Found::Broken;
    }
    let kind = match body[0] {
        1 => Kind::Begin,
        2 => Kind::Settle,
        _ => return Found::Broken,
    };
    let ticket = body[1..INNER].try_into().map(u64::from_le_bytes).unwrap_or_default();
    Found::Record(Record { kind, ticket, json: body[INNER..].to_vec() }, HEAD + inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let bytes = build(Kind::Begin, 7, 0, |out| {
            out.extend(b"{}");
            Ok::<_, ()>(())
        })
        .unwrap();
        let whole = Record { kind: Kind::Begin, ticket: 7, json: b"{}".to_vec() };
        assert_eq!(read(&bytes), Found::Record(whole, bytes.len()));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Found::Partial, "{cut}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(!matches!(read(&flipped), Found::Record(..)), "{at}");
        }
        assert_eq!(read(&[0; 64]), Found::Partial);
    }
}
