//! The format and size of a picture, read off its first bytes: PNG, JPEG, GIF, WebP.

/// What a picture's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// `PNG`, `JPEG`, `GIF` or `WebP`.
    pub format: &'static str,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Reads the head of a picture; `None` if it is of no known format or ends too early.
pub(super) fn read(bytes: &[u8]) -> Option<Picture> {
    let (format, (width, height)) = match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => ("PNG", (be32(bytes, 16)?, be32(bytes, 20)?)),
        [0xFF, 0xD8, 0xFF, ..] => ("JPEG", jpeg(bytes)?),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => ("GIF", (le16(bytes, 6)?, le16(bytes, 8)?)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ("WebP", webp(bytes)?),
        _ => return None,
    };
    Some(Picture { format, width, height })
}

/// Goes from segment to segment up to the frame header (ITU-T T.81, B.1 and B.2.2).
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let [0xFF, marker] = *bytes.get(at..at + 2)? else { return None };
        match marker {
            // Padding.
            0xFF => at += 1,
            // Frame headers; C4, C8 and CC are tables.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                return Some((be16(bytes, at + 7)?, be16(bytes, at + 5)?));
            }
            // Without a length.
            0x01 | 0xD0..=0xD8 => at += 2,
            // The image itself: there should have been a frame header before.
            0xD9 | 0xDA => return None,
            _ => at += 2 + usize::try_from(be16(bytes, at + 2)?).ok()?.max(2),
        }
    }
}

/// The three kinds of the first chunk (WebP Container Specification; RFC 6386, 9.1; WebP Lossless, 3).
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((le24(bytes, 24)? + 1, le24(bytes, 27)? + 1)),
        b"VP8 " if bytes.get(23..26)? == [0x9D, 0x01, 0x2A] => {
            Some((le16(bytes, 26)? & 0x3FFF, le16(bytes, 28)? & 0x3FFF))
        }
        b"VP8L" if bytes.get(20) == Some(&0x2F) => {
            let bits = u32::from_le_bytes(*bytes.get(21..)?.first_chunk()?);
            Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        }
        _ => None,
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes([a, b, c, 0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads() -> [(&'static str, Vec<u8>); 7] {
        let riff = |chunk: &[u8]| [&b"RIFF\0\0\0\0WEBP"[..], chunk].concat();
        [
            ("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0".to_vec()),
            ("GIF", b"GIF87a\x80\x02\xe0\x01".to_vec()),
            // With a table before the frame header, and padding.
            ("JPEG", b"\xff\xd8\xff\xe0\0\x04JF\xff\xff\xc4\0\x02\xff\xc2\0\x11\x08\x01\xe0\x02\x80".to_vec()),
            ("JPEG", b"\xff\xd8\xff\x01\xff\xc0\0\x11\x08\x01\xe0\x02\x80".to_vec()),
            ("WebP", riff(b"VP8X\0\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0")),
            ("WebP", riff(b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x02\xe0\x01")),
            // 639 in 14 bits, 479 in the next 14.
            ("WebP", riff(b"VP8L\0\0\0\0\x2f\x7f\xc2\x77\0")),
        ]
    }

    #[test]
    fn sizes_are_read_off_the_head() {
        for (format, head) in heads() {
            assert_eq!(read(&head), Some(Picture { format, width: 640, height: 480 }), "{head:?}");
        }
    }

    #[test]
    fn what_ends_early_or_is_no_picture_has_no_size() {
        for (_, head) in heads() {
            for end in 0..head.len() {
                assert_eq!(read(&head[..end]), None, "{:?}", &head[..end]);
            }
        }
        for bytes in [&b"BM"[..], b"\xff\xd8\xff\xda\0\x02", b"\xff\xd8\xffx", b"RIFF\0\0\0\0WEBPVP8?\0\0\0\0"] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }
}
