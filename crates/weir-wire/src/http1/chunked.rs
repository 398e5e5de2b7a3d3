//! Bodies in chunks (RFC 9112, 7.1): where they end.

/// Longest chunk extension, and longest trailer section.
const MAX_EXTRAS: u16 = 16 * 1024;

/// How far a body is.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    at: At,
    /// Bytes of extensions and trailers seen in this body: nobody needs them, many would be an attack.
    extras: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a chunk's size, of which so many digits were read.
    Size {
        size: u64,
        digits: u8,
    },
    /// In a chunk's extension.
    Extension(u64),
    /// Before the line feed after a size.
    SizeEnd(u64),
    /// In a chunk's data.
    Data(u64),
    /// After a chunk's data.
    DataCr,
    DataLf,
    /// At the start of a trailer's line.
    Line,
    /// In a trailer's line.
    Trailer,
    TrailerLf,
    /// Before the last line feed of all.
    LastLf,
}

impl Default for At {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

/// What the bytes were.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of them belong to the body.
    Within(usize),
    /// The body ends with the last of so many.
    End(usize),
    /// After so many the body breaks its form.
    Broken(usize, &'static str),
}

impl Chunked {
    /// Takes bytes of a body.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Progress {
        let mut i = 0;
        while let Some(byte) = bytes.get(i) {
            if let At::Data(left) = self.at {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - i);
                let left = left - taken as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data(left) };
                i += taken;
                continue;
            }
            if self.at == At::LastLf && *byte == b'\n' {
                return Progress::End(i + 1);
            }
            match self.next(*byte) {
                Ok(at) => self.at = at,
                Err(why) => return Progress::Broken(i, why),
            }
            i += 1;
        }
        Progress::Within(i)
    }

    fn next(&mut self, byte: u8) -> Result<At, &'static str> {
        match (self.at, byte) {
            (At::Size { digits: 16.., .. }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                Err("a chunk's size is too large")
            }
            (At::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Ok(At::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (At::Size { digits: 0, .. }, _) => Err("a chunk begins without its size in hexadecimal digits"),
            (At::Size { size, .. }, b';') => Ok(At::Extension(size)),
            (At::Size { size, .. } | At::Extension(size), b'\r') => Ok(At::SizeEnd(size)),
            (At::Size { .. }, _) => Err("a chunk's size is followed by something other than a line's end"),
            (At::Extension(size), b'\t' | b' '..=b'~') => self.extra(At::Extension(size)),
            (At::Extension(_), _) => Err("a chunk's extension has a character that it must not have"),
            (At::SizeEnd(0), b'\n') => Ok(At::Line),
            (At::SizeEnd(size), b'\n') => Ok(At::Data(size)),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::default()),
            (At::DataCr | At::DataLf, _) => Err("a chunk is longer than its size"),
            (At::Line, b'\r') => Ok(At::LastLf),
            (At::Line | At::Trailer, b'\t' | b' '..=b'~' | 0x80..) => self.extra(At::Trailer),
            (At::Trailer, b'\r') => Ok(At::TrailerLf),
            (At::TrailerLf, b'\n') => Ok(At::Line),
            (At::Line | At::Trailer, _) => Err("a trailer has a character that it must not have"),
            (At::SizeEnd(_) | At::TrailerLf | At::LastLf, _) => Err("a line ends with a bare carriage return"),
            (At::Data(_), _) => Ok(self.at),
        }
    }

    fn extra(&mut self, at: At) -> Result<At, &'static str> {
        self.extras += 1;
        if self.extras < MAX_EXTRAS { Ok(at) } else { Err("its chunk extensions and trailers are longer than 16 KiB") }
    }
}
