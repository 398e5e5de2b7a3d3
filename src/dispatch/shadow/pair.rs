//! A request and its copy: what is known of both, once both are over.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::alike::alike;
use super::said::{Form, MAX_READ, Reader, Said};
use crate::flight::Witness;
use crate::meter::prom::Metrics;
use crate::record::{Status, UsageRow};
use crate::snapshot::Shadow;

/// Pairs of which something is held.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<AtomicUsize>);

/// A place among them.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Places {
    /// A place, if there are fewer than `most`.
    pub(super) fn take(&self, most: usize) -> Option<Place> {
        let more = |held: usize| (held < most).then_some(held + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Place(Arc::clone(&self.0)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller's request.
    Original,
    /// The copy.
    Copy,
}

/// What an answer said, read or still to be.
#[derive(Debug)]
pub enum Heard {
    /// Read as it passed.
    Said(Box<Said>),
    /// There whole, and to be read when there is time.
    Whole(Form, Bytes),
}

impl Heard {
    /// Nothing: there was no answer.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Said(Box::default())
    }

    /// An answer that is there whole. One that is too long to be read is not kept.
    #[must_use]
    pub fn whole(form: Form, bytes: Bytes) -> Self {
        if bytes.len() > MAX_READ {
            return Self::Said(Box::new(Said::unread()));
        }
        Self::Whole(form, bytes)
    }

    fn read(self) -> Said {
        match self {
            Self::Said(said) => *said,
            Self::Whole(form, bytes) => {
                let mut reader = Reader::new(form);
                reader.push(bytes);
                reader.finish()
            }
        }
    }
}

#[derive(Debug, Default)]
struct Half {
    row: Option<Box<UsageRow>>,
    heard: Option<Heard>,
}

/// A request and its copy, as far as they are known.
#[derive(Debug)]
pub struct Pair {
    /// Where the copy goes.
    pub shadow: Arc<Shadow>,
    halves: Mutex<Option<[Half; 2]>>,
    finished: mpsc::Sender<Finished>,
    place: Mutex<Option<Place>>,
    metrics: Arc<Metrics>,
}

impl Pair {
    pub(super) fn new(
        shadow: Arc<Shadow>,
        finished: mpsc::Sender<Finished>,
        place: Place,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shadow,
            halves: Mutex::new(Some(<[Half; 2]>::default())),
            finished,
            place: Mutex::new(Some(place)),
            metrics,
        })
    }

    /// Who notes one side's row.
    #[must_use]
    pub fn witness(self: &Arc<Self>, side: Side) -> Witness {
        let pair = Arc::clone(self);
        Witness(Box::new(move |row| {
            if side == Side::Copy {
                pair.metrics.shadow(if row.status == Status::Ok { "ok" } else { "failed" });
            }
            pair.note(side, |half| half.row = Some(Box::new(row.clone())));
        }))
    }

    /// Notes one side's answer.
    pub fn heard(&self, side: Side, heard: Heard) {
        self.note(side, |half| {
            half.heard.get_or_insert(heard);
        });
    }

    /// The last thing to be known makes the pair finished. It is looked at elsewhere: this may be a caller's time.
    fn note(&self, side: Side, note: impl FnOnce(&mut Half)) {
        // A panic while it was held leaves halves that are whole.
        let mut held = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(halves) = held.as_mut() else { return };
        note(&mut halves[side as usize]);
        if halves.iter().any(|half| half.row.is_none() || half.heard.is_none()) {
            return;
        }
        let Some([original, copy]) = held.take() else { return };
        drop(held);
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let ([Some(original_row), Some(row)], [Some(original_heard), Some(heard)], Some(place)) =
            ([original.row, copy.row], [original.heard, copy.heard], place)
        {
            let shadow = Arc::clone(&self.shadow);
            let finished =
                Finished { shadow, rows: [original_row, row], heard: [original_heard, heard], _place: place };
            // There is room for as many as there are places; nobody listens while the gateway ends.
            let _ = self.finished.try_send(finished);
        }
    }
}

/// A request and its copy that are both over.
#[derive(Debug)]
pub struct Finished {
    /// Where the copy went.
    pub shadow: Arc<Shadow>,
    /// The rows: the request's, the copy's.
    pub rows: [Box<UsageRow>; 2],
    heard: [Heard; 2],
    _place: Place,
}

/// How two answers differ. Nothing that they said is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Whether their texts are the same; unknown where one of them is not whole.
    pub text_equal: Option<bool>,
    /// How alike their texts are, in thousandths; unknown where one is not whole or too long.
    pub similarity: Option<u16>,
    /// Whether the same tools are called with the same arguments; unknown where none is called, or one answer is not
    /// whole.
    pub tools_equal: Option<bool>,
    /// Bytes of each text.
    pub bytes: [u64; 2],
    /// How often each calls tools.
    pub tools: [usize; 2],
    /// Why each ended.
    pub stops: [String; 2],
}

impl Finished {
    /// How the answers differ. Takes a while for long ones.
    #[must_use]
    pub fn difference(self) -> ([Box<UsageRow>; 2], Difference) {
        let whole = self.rows.iter().all(|row| row.status == Status::Ok);
        let [original, copy] = self.heard.map(Heard::read);
        let whole = whole && !original.partial && !copy.partial;
        let mut difference = Difference {
            bytes: [original.bytes(), copy.bytes()],
            tools: [original.calls(), copy.calls()],
            stops: [original.stops(), copy.stops()],
            ..Difference::default()
        };
        if whole {
            let equal = original.same_text(&copy);
            let texts = original.text().zip(copy.text());
            difference.text_equal = Some(equal);
            difference.similarity =
                if equal { Some(1000) } else { texts.map(|(original, copy)| alike(&original, &copy)) };
            difference.tools_equal = original.same_calls(&copy);
        }
        (self.rows, difference)
    }
}

/// An answer on its way to its caller, and read beside it. It passes as it is.
pub struct Watched<B> {
    inner: B,
    reading: Option<(Reader, Arc<Pair>)>,
}

impl<B> Watched<B> {
    /// `inner`, read for the pair.
    pub fn new(inner: B, form: Form, pair: Arc<Pair>) -> Self {
        Self { inner, reading: Some((Reader::new(form), pair)) }
    }

    fn finish(&mut self) {
        if let Some((reader, pair)) = self.reading.take() {
            pair.heard(Side::Original, Heard::Said(Box::new(reader.finish())));
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match (&frame, &mut self.reading) {
            (Some(Ok(frame)), Some((reader, _))) => {
                if let Some(data) = frame.data_ref() {
                    reader.push(data.clone());
                }
            }
            (Some(Ok(_)), None) => {}
            (None | Some(Err(_)), _) => self.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Watched<B> {
    /// The client left, or did not wait to hear that nothing more comes.
    fn drop(&mut self) {
        self.finish();
    }
}
