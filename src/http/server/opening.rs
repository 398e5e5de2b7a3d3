//! The beginning of a connection: for whom it speaks, TLS, and which HTTP.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::conn::Waits;
use super::guard::Prefixed;
use super::proxy::{self, Preamble};
use super::tls::Certificates;

/// How HTTP/2 without TLS begins (RFC 9113, 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that is ready for its first request.
#[derive(Debug)]
pub struct Opened {
    /// Its bytes.
    pub io: Io,
    /// Those of them that were read already.
    pub first: BytesMut,
    /// Whether HTTP/2 is spoken.
    pub is_http2: bool,
}

/// Why a connection is closed before its first request: a label of a metric.
pub type Closed = &'static str;

/// It is not worth counting: the client went away.
pub const GONE: Closed = "gone";
/// Neither is one that says nothing.
pub const SILENT: Closed = "silent";

/// The bytes of a connection.
#[derive(Debug)]
pub enum Io {
    /// As they are.
    Plain(TcpStream),
    /// In TLS.
    Tls(Box<TlsStream<Prefixed<TcpStream>>>),
}

/// Reads what a trusted peer says of whom it speaks for. `None` where it says nothing.
///
/// # Errors
/// When it is wrong, or does not come in time.
pub async fn preamble(stream: &mut TcpStream, first: &mut BytesMut, waits: Waits) -> Result<Option<IpAddr>, Closed> {
    first_bytes(stream, first, waits).await?;
    let read = async {
        loop {
            match proxy::parse(first) {
                Preamble::None => return Ok(None),
                Preamble::More => more(stream, first).await?,
                Preamble::Header(length, client) => {
                    first.advance(length);
                    return Ok(client);
                }
                Preamble::Bad(why) => {
                    tracing::warn!("a trusted proxy sends a PROXY protocol header that cannot be read: {why}");
                    return Err("proxy");
                }
            }
        }
    };
    timeout(waits.header, read).await.unwrap_or(Err(SILENT))
}

/// Finds out how HTTP is spoken, after the handshake where there is one.
///
/// # Errors
/// When the client goes away, waits too long, or cannot agree on TLS.
pub async fn open(
    mut stream: TcpStream,
    mut first: BytesMut,
    certificates: Option<&Certificates>,
    waits: Waits,
) -> Result<Opened, Closed> {
    let Some(certificates) = certificates else {
        first_bytes(&mut stream, &mut first, waits).await?;
        let sniff = async {
            while first.len() < H2_PREFACE.len() && H2_PREFACE.starts_with(&first) {
                more(&mut stream, &mut first).await?;
            }
            Ok(())
        };
        timeout(waits.header, sniff).await.unwrap_or(Err(SILENT))?;
        let is_http2 = first.starts_with(H2_PREFACE);
        return Ok(Opened { io: Io::Plain(stream), first, is_http2 });
    };
    let handshake = certificates.acceptor().accept(Prefixed::new(first.freeze(), stream));
    match timeout(waits.header, handshake).await {
        Ok(Ok(stream)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Opened { io: Io::Tls(Box::new(stream)), first: BytesMut::new(), is_http2 })
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed: {error}");
            Err("tls")
        }
        Err(_) => Err("tls_timeout"),
    }
}

/// A connection may be open for a while before anything is said.
async fn first_bytes(stream: &mut TcpStream, first: &mut BytesMut, waits: Waits) -> Result<(), Closed> {
    if !first.is_empty() {
        return Ok(());
    }
    timeout(waits.idle, more(stream, first)).await.unwrap_or(Err(SILENT))
}

async fn more(stream: &mut TcpStream, first: &mut BytesMut) -> Result<(), Closed> {
    match stream.read_buf(first).await {
        Ok(read) if read > 0 => Ok(()),
        _ => Err(GONE),
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
