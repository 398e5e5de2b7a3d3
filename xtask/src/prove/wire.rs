//! HTTP/1.1 as the proof's client speaks it: one connection, its own end at hand.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What went wrong, as text: it is moved between threads.
pub(super) type Wire<T> = Result<T, String>;

type Driver = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// A connection; dropping it closes the socket there and then.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once the connection is closed: whoever waits for it hears of that by its end alone.
    driver: Option<Pin<Box<Driver>>>,
}

impl Connection {
    /// Connects to `http://host:port`.
    pub(super) async fn open(url: &str) -> Wire<Self> {
        let stream = TcpStream::connect(host(url)).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        Ok(Self { sender, driver: Some(Box::pin(driver)) })
    }

    /// Waits until another request can go over it; `false` if none ever can.
    pub(super) async fn ready(&mut self) -> bool {
        let Self { sender, driver } = self;
        beside(driver, sender.ready()).await.is_ok() && self.driver.is_some()
    }

    /// Sends a request; the future is done with its head.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Wire<Response<Incoming>> {
        let Self { sender, driver } = self;
        beside(driver, sender.send_request(request)).await.map_err(|error| error.to_string())
    }

    /// The next bytes of an answer's body; `None` at its orderly end.
    pub(super) async fn next(&mut self, body: &mut Incoming) -> Wire<Option<Bytes>> {
        loop {
            match beside(&mut self.driver, body.frame()).await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(bytes) = frame.map_err(|error| error.to_string())?.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// Drives the connection while `work` is under way.
async fn beside<T>(driver: &mut Option<Pin<Box<Driver>>>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    while let Some(driving) = driver {
        tokio::select! {
            biased;
            done = &mut work => return done,
            // What came before the end is still on its way to `work`, which ends by itself.
            _ = driving => *driver = None,
        }
    }
    work.await
}

/// One request to the admin plane or another side of a gateway: status and body.
pub(super) async fn call(
    method: &str,
    url: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&str>,
) -> Wire<(u16, String)> {
    let mut connection = Connection::open(url).await?;
    let response = connection.send(request(method, url, path, key, body)?).await?;
    let status = response.status().as_u16();
    let mut incoming = response.into_body();
    let mut text = Vec::new();
    while let Some(bytes) = connection.next(&mut incoming).await? {
        text.extend_from_slice(&bytes);
    }
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

/// A GET whose answer's lines are handed over one by one: an answer of any length takes one line's memory.
pub(super) async fn lines(url: &str, path: &str, key: &str, mut each: impl FnMut(&[u8]) -> Wire<()>) -> Wire<()> {
    let mut connection = Connection::open(url).await?;
    let response = connection.send(request("GET", url, path, Some(key), None)?).await?;
    let status = response.status();
    let mut incoming = response.into_body();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(bytes) = connection.next(&mut incoming).await? {
        rest.extend_from_slice(&bytes);
        if !status.is_success() {
            continue;
        }
        let mut start = 0;
        while let Some(length) = rest[start..].iter().position(|byte| *byte == b'\n') {
            each(&rest[start..start + length])?;
            start += length + 1;
        }
        rest.drain(..start);
    }
    if status.is_success() && rest.is_empty() {
        return Ok(());
    }
    Err(format!("GET {path} answered {status}: {}", String::from_utf8_lossy(&rest)))
}

/// A request with a bearer token and, where there is one, a JSON body.
pub(super) fn request(
    method: &str,
    url: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&str>,
) -> Wire<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(method).uri(path).header("host", host(url));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    request.body(Full::from(body.unwrap_or_default().to_owned())).map_err(|error| error.to_string())
}

/// The `host:port` of a URL.
pub(super) fn host(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}
