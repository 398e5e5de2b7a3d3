//! Content encodings, on the rare path: upstreams are asked for `identity`, clients seldom compress.

use std::io;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio_util::io::{ReaderStream, StreamReader};

use super::body::{BodyError, ChunkStream};

/// A content encoding Weir can undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `gzip`
    Gzip,
    /// `deflate` (zlib)
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Encoding {
    /// What a `content-encoding` value says: `Ok(None)` for identity.
    ///
    /// # Errors
    /// The value, when it is none of ours.
    pub fn parse(value: Option<&http::HeaderValue>) -> Result<Option<Self>, String> {
        let Some(value) = value else { return Ok(None) };
        let text = value.to_str().unwrap_or("?").trim().to_ascii_lowercase();
        match text.as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            "br" => Ok(Some(Self::Brotli)),
            "zstd" => Ok(Some(Self::Zstd)),
            _ => Err(text),
        }
    }
}

/// Decodes a stream as it comes, to at most `cap` bytes: a deflate bomb ends with an error.
#[must_use]
pub fn decode_stream(chunks: ChunkStream, encoding: Encoding, cap: u64) -> ChunkStream {
    let reader = StreamReader::new(chunks.map(|chunk| chunk.map_err(io::Error::other)));
    let reader = BufReader::with_capacity(8 * 1024, reader);
    match encoding {
        Encoding::Gzip => capped(GzipDecoder::new(reader), cap),
        Encoding::Deflate => capped(ZlibDecoder::new(reader), cap),
        Encoding::Brotli => capped(BrotliDecoder::new(reader), cap),
        Encoding::Zstd => capped(ZstdDecoder::new(reader), cap),
    }
}

fn capped(reader: impl AsyncRead + Send + 'static, cap: u64) -> ChunkStream {
    let mut total = 0_u64;
    // One byte above the cap tells "exactly the cap" from "too much".
    let chunks = ReaderStream::new(reader.take(cap.saturating_add(1)));
    Box::pin(chunks.map(move |chunk| {
        let chunk = chunk.map_err(|e| BodyError::from(format!("the compressed body is broken: {e}")))?;
        total += chunk.len() as u64;
        if total > cap {
            Err(BodyError::from(format!("the body is larger than {cap} bytes when decompressed")))
        } else {
            Ok(chunk)
        }
    }))
}

/// Decodes a body that is whole already, to at most `cap` bytes.
///
/// # Errors
/// When it is broken or too large.
pub async fn decode_whole(body: Bytes, encoding: Encoding, cap: usize) -> Result<Bytes, BodyError> {
    let chunks: ChunkStream = Box::pin(futures_util::stream::iter([Ok(body)]));
    let mut decoded = decode_stream(chunks, encoding, cap as u64);
    let mut out = bytes::BytesMut::new();
    while let Some(chunk) = decoded.next().await {
        out.extend_from_slice(&chunk?);
    }
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn encode(encoding: Encoding, text: &[u8]) -> Bytes {
        macro_rules! with {
            ($encoder:ident) => {{
                let mut encoder = $encoder::new(Vec::new());
                encoder.write_all(text).await.unwrap();
                encoder.shutdown().await.unwrap();
                encoder.into_inner().into()
            }};
        }
        match encoding {
            Encoding::Gzip => with!(GzipEncoder),
            Encoding::Deflate => with!(ZlibEncoder),
            Encoding::Brotli => with!(BrotliEncoder),
            Encoding::Zstd => with!(ZstdEncoder),
        }
    }

    #[tokio::test]
    async fn every_encoding_is_undone_and_a_bomb_is_not() {
        let text = vec![b'a'; 100_000];
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd] {
            let packed = encode(encoding, &text).await;
            assert_eq!(decode_whole(packed.clone(), encoding, 100_000).await.unwrap(), text, "{encoding:?}");
            let error = decode_whole(packed, encoding, 99_999).await.unwrap_err();
            assert!(error.to_string().contains("larger than 99999"), "{encoding:?}: {error}");
            assert!(decode_whole(Bytes::from_static(b"no such thing"), encoding, 100).await.is_err(), "{encoding:?}");
        }
    }

    #[test]
    fn names_are_read_as_written() {
        let parse = |v: &'static str| Encoding::parse(Some(&http::HeaderValue::from_static(v)));
        assert_eq!(parse("GZIP"), Ok(Some(Encoding::Gzip)));
        assert_eq!(parse("identity"), Ok(None));
        assert_eq!(parse("compress"), Err("compress".to_owned()));
        assert_eq!(Encoding::parse(None), Ok(None));
    }
}
