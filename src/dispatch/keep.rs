//! Keeping an exchange of `responses` for a provider that keeps none, before its caller sees the end of
//! the answer: the next request may come at once.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use weir_wire::hub::Turn;
use weir_wire::openai_responses;

/// Writes an exchange down: the conversation's items, and the answer. Never fails for the caller, who
/// has paid for the answer: what cannot be written down is logged.
pub type Write = Arc<dyn Fn(String, String) -> BoxFuture<'static, ()> + Send + Sync>;

/// A conversation that goes on.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The response that it ended with so far (`previous_response_id`).
    pub id: String,
    /// All that was said.
    pub turns: Vec<Turn>,
}

impl Earlier {
    /// More tokens than it has: its bytes, written out.
    pub(super) fn size(&self) -> u64 {
        format!("{:?}", self.turns).len() as u64
    }
}

/// What an exchange is kept with.
#[derive(Clone)]
pub struct Keep {
    items: String,
    write: Write,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keep")
    }
}

impl Keep {
    /// For the exchange that begins with this request.
    #[must_use]
    pub fn new(request: &weir_wire::hub::Request, write: Write) -> Self {
        Self { items: openai_responses::items(request), write }
    }

    /// Keeps the exchange that ends with this response.
    pub fn put(self, response: &str) -> BoxFuture<'static, ()> {
        let items = openai_responses::with_answer(&self.items, response);
        (self.write)(items, response.to_owned())
    }

    /// The same for a stream, whose last event has the response in it.
    #[must_use]
    pub fn put_last(self, events: &str) -> Option<BoxFuture<'static, ()>> {
        #[derive(serde::Deserialize)]
        struct Last<'a> {
            #[serde(borrow)]
            response: &'a serde_json::value::RawValue,
        }
        let data =
            events.rsplit("\n\n").find_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")))?;
        let last: Last<'_> = serde_json::from_str(data).ok()?;
        Some(self.put(last.response.get()))
    }
}

/// How the exchanges of one request are written down.
#[derive(Clone)]
pub struct Writer(pub Write);

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}
