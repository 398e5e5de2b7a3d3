//! HTTP/2, frame by frame.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{delta, ready};
use crate::support::gateway::{Gateway, Setup, eventually, one_provider};
use crate::support::upstream::{Script, Step, Upstream};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header in HPACK, neither indexed nor compressed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127 + 128, "two bytes hold its length");
        let length = u8::try_from(text.len().min(127)).unwrap();
        let mut out = vec![length];
        if text.len() >= 127 {
            out.push(u8::try_from(text.len() - 127).unwrap());
        }
        [out, text.into()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

pub(crate) fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    list.iter().flat_map(|(name, value)| field(name, value)).collect()
}

fn get(path: &str) -> Vec<u8> {
    fields(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "x")])
}

/// A connection over HTTP/2 with these settings.
struct Client(TcpStream);

impl Client {
    async fn connect(gateway: &Gateway, settings: &[(u16, u32)]) -> Self {
        let mut stream = TcpStream::connect(gateway.app.addr).await.unwrap();
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        let start = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &payload)].concat();
        stream.write_all(&start).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// The next frame of this kind: stream and payload. `None` at the end of the connection.
    async fn next(&mut self, wanted: u8) -> Option<(u32, Vec<u8>)> {
        let read = async {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.ok()?;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let mut payload = vec![0; length];
                self.0.read_exact(&mut payload).await.ok()?;
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                if head[3] == wanted {
                    return Some((stream, payload));
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("a frame or an end")
    }

    /// The error code of the connection's end, if it is told one.
    async fn goaway(&mut self) -> Option<u32> {
        let (_, payload) = self.next(GOAWAY).await?;
        payload[4..8].try_into().ok().map(u32::from_be_bytes)
    }
}

/// Somebody else is served all the while.
async fn others_are_served(gateway: &Gateway, key: &str) {
    let reply = gateway.post(key, "/v1/chat/completions", "{\"model\":\"m\",\"messages\":[]}");
    let reply = tokio::time::timeout(Duration::from_secs(5), reply).await.expect("an answer");
    assert_eq!(reply.status, http::StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn http2_is_served_and_checked_alike() {
    let (_, gateway, _) = ready("drain_timeout: 1s").await;
    let mut client = Client::connect(&gateway, &[]).await;
    for (i, (block, status)) in [
        (get("/health"), "200"),
        (get("/v1/..%2fadmin"), "400"),
        (get("//health"), "400"),
        (fields(&[(":method", "get"), (":scheme", "http"), (":path", "/health"), (":authority", "x")]), "400"),
        (fields(&[(":method", "CONNECT"), (":authority", "x:1")]), "405"),
        (
            fields(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/health"),
                (":authority", "x"),
                ("host", "y"),
            ]),
            "400",
        ),
        (fields(&[(":method", "GET"), (":scheme", "http"), (":path", "/health"), (":authority", "u@x")]), "400"),
        (fields(&[(":method", "GET"), (":scheme", "http"), (":path", "/health")]), "400"),
        ([get("/health"), field("a", "b").repeat(101)].concat(), "431"),
        (get("/health"), "200"),
    ]
    .into_iter()
    .enumerate()
    {
        let stream = u32::try_from(i * 2 + 1).unwrap();
        assert!(client.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)).await);
        let (answered, payload) = client.next(HEADERS).await.expect("the connection goes on");
        assert_eq!(answered, stream);
        // The status is an index of the static table, or a literal after an index.
        let known = [(0x88, "200"), (0x8c, "400"), (0x8d, "404")].iter().find(|(index, _)| *index == payload[0]);
        let told = known.map_or_else(|| decode(&payload), |(_, status)| (*status).to_owned());
        assert_eq!(told, status, "{i}");
    }
}

/// The value of a literal status: its length, perhaps Huffman's code of digits.
fn decode(payload: &[u8]) -> String {
    let (length, bytes) = (usize::from(payload[1] & 0x7f), &payload[2..]);
    if payload[1] & 0x80 == 0 {
        return String::from_utf8_lossy(&bytes[..length]).into_owned();
    }
    // Digits 0 to 2 have five bits, 3 to 9 six.
    let bits: String = bytes[..length].iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut rest, mut out) = (bits.as_str(), String::new());
    while out.len() < 3 {
        let five = u8::from_str_radix(&rest[..5], 2).unwrap();
        let (digit, used) =
            if five <= 2 { (five, 5) } else { (u8::from_str_radix(&rest[..6], 2).unwrap() - 0b01_1001 + 3, 6) };
        out += &digit.to_string();
        rest = &rest[used..];
    }
    out
}

#[tokio::test]
async fn f54_rapid_resets_end_the_connection_and_no_other() {
    let (upstream, gateway, key) = ready("drain_timeout: 1s").await;
    let mut client = Client::connect(&gateway, &[]).await;
    let block = get("/health");
    let attack: Vec<u8> = (0..2_000_u32)
        .flat_map(|i| {
            let stream = i * 2 + 1;
            let open = frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
            [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    client.send(&attack).await;
    // ENHANCE_YOUR_CALM, unless the connection is gone before it can be read.
    assert!(matches!(client.goaway().await, None | Some(11)));
    others_are_served(&gateway, &key).await;
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn f54_floods_end_the_connection_or_cost_nothing() {
    let (_, gateway, key) = ready("drain_timeout: 1s").await;
    let mut endless = Client::connect(&gateway, &[]).await;
    let start = frame(HEADERS, END_STREAM, 1, &get("/health"));
    let more = frame(CONTINUATION, 0, 1, &field("a", &"b".repeat(200)).repeat(50));
    let mut sent = endless.send(&start).await;
    for _ in 0..1_000 {
        sent = sent && endless.send(&more).await;
    }
    assert!(endless.goaway().await.is_none_or(|code| code != 0), "ten megabytes of headers are none");
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[]), frame(DATA, 0, 1, &[])] {
        let mut client = Client::connect(&gateway, &[]).await;
        let open = fields(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/v1/files"),
            (":authority", "x"),
            ("x-api-key", &key),
        ]);
        client.send(&frame(HEADERS, END_HEADERS, 1, &open)).await;
        let attack = flood.repeat(5_000);
        // Nobody reads what comes back: the gateway stops to read, or ends it.
        let _ = tokio::time::timeout(Duration::from_secs(1), client.send(&attack)).await;
        others_are_served(&gateway, &key).await;
    }
}

#[tokio::test]
async fn f54_so_many_streams_and_no_more() {
    let upstream = Upstream::scripted(vec![Script::stream(vec![Step::Hang])]).await;
    let gateway = Setup::new(one_provider(&upstream.url())).start().await;
    let key = gateway.plain_key().await;
    let mut client = Client::connect(&gateway, &[]).await;
    let block = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/v1/files/f"),
        (":authority", "x"),
        ("x-api-key", &key),
    ]);
    for i in 0..251_u32 {
        assert!(client.send(&frame(HEADERS, END_STREAM | END_HEADERS, i * 2 + 1, &block)).await);
    }
    let (stream, payload) = client.next(RST_STREAM).await.expect("the last one is refused");
    assert_eq!((stream, payload), (501, 7_u32.to_be_bytes().to_vec()), "REFUSED_STREAM");
}

#[tokio::test]
async fn f54_a_window_that_stays_shut_loses_its_stream_alone() {
    let upstream = Upstream::scripted(vec![Script::stream(vec![Step::Repeat(delta(64 << 10), 1_000)])]).await;
    let yaml = format!("server: {{ write_timeout: 300ms }}\n{}", one_provider(&upstream.url()));
    let gateway = Setup::new(yaml).start().await;
    let key = gateway.plain_key().await;
    // INITIAL_WINDOW_SIZE: nothing at all, and what a first chunk more than fills.
    for (number, window) in [(1, 0), (2, 1000)] {
        let mut client = Client::connect(&gateway, &[(4, window)]).await;
        let body = b"{\"model\":\"m\",\"messages\":[],\"stream\":true}";
        let head = fields(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/v1/chat/completions"),
            (":authority", "x"),
            ("x-api-key", &key),
        ]);
        client.send(&frame(HEADERS, END_HEADERS, 1, &head)).await;
        client.send(&frame(DATA, END_STREAM, 1, body)).await;
        let (stream, _) = client.next(RST_STREAM).await.expect("the stream is reset");
        assert_eq!(stream, 1);
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &get("/health"))).await;
        assert_eq!(client.next(HEADERS).await.expect("the connection goes on").0, 3);
        eventually("the upstream is let go", async || (upstream.dropped().len() == number).then_some(())).await;
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_end() {
    let (_, gateway, _) = ready("idle_timeout: 200ms, header_timeout: 1s").await;
    let mut client = Client::connect(&gateway, &[]).await;
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &get("/health"))).await;
    assert_eq!(client.next(HEADERS).await.unwrap().0, 1);
    assert_eq!(client.goaway().await, Some(0), "in order");
}
