//! A streamed message, written event by event.

use super::encode_answer::head;
use super::encode_block::Open;
use super::form::OWN;
use super::stop::Told;
use super::{error, stop, usage};
use crate::hub::{Event, Extra, Head, Loss, LossKind, Losses, OneAtATime, Part, Place, Reply, Spent, Stop, write};

/// What keeps a silent stream alive in this dialect.
pub const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// The most bytes of parts held back while another is open.
pub(super) const MAX_HELD: usize = 16 << 20;

/// The members of a message that a stream tells with the reason of its end.
const OF_THE_END: [&str; 2] = ["container", "stop_details"];

/// Writes the events of one stream for a caller who speaks this dialect. Never fails: what cannot
/// be said is a loss.
#[derive(Debug)]
pub struct StreamEncoder {
    pub(super) reply: Reply,
    order: OneAtATime,
    head: Head,
    /// Members of the head that were said at first, and those that came later.
    first: Extra,
    news: Extra,
    usage: Option<Spent>,
    started: bool,
    /// The number of the next block.
    pub(super) next: u64,
    pub(super) open: Option<Open>,
    /// A thought without a seal whose block is open still: the call behind it may bring one.
    pub(super) thought: Option<Box<Part>>,
    pub(super) told: Told,
    stop: Option<Stop>,
    pub(super) losses: Losses,
    closed: bool,
}

impl StreamEncoder {
    /// For one stream. The reply says what the events may lack.
    #[must_use]
    pub fn new(reply: Reply) -> Self {
        let losses = Losses::new(reply.source, OWN);
        Self {
            reply,
            order: OneAtATime::new(MAX_HELD),
            head: Head::default(),
            first: Extra::default(),
            news: Extra::default(),
            usage: None,
            started: false,
            next: 0,
            open: None,
            thought: None,
            told: Told::default(),
            stop: None,
            losses,
            closed: false,
        }
    }

    /// Writes what the event adds to the stream: none, one or several server-sent events.
    pub fn push(&mut self, event: &Event, out: &mut String) {
        if self.closed || self.of_another_choice(event) {
            return;
        }
        let mut events = Vec::new();
        self.order.push(event.clone(), &mut events);
        if self.order.take_late() {
            let why = "said of a part after its end (a citation found afterwards), where nothing can be added";
            self.losses.add("choices", LossKind::Dropped, why);
        }
        events.into_iter().for_each(|event| self.ordered(event, out));
    }

    /// What was lost, once the stream has ended.
    #[must_use]
    pub fn into_losses(self) -> Vec<Loss> {
        self.losses.seal_answer(String::new()).losses
    }

    /// Whether the event is of a choice beside the first, of which there is none in this dialect.
    fn of_another_choice(&mut self, event: &Event) -> bool {
        let (Event::Choice { choice, .. }
        | Event::PartStart { choice, .. }
        | Event::Delta { choice, .. }
        | Event::PartEnd { choice, .. }
        | Event::Logprobs { choice, .. }
        | Event::Finish { choice, .. }) = event
        else {
            return false;
        };
        if *choice != 0 && matches!(event, Event::Choice { .. }) {
            self.losses.add("choices", LossKind::Dropped, "there is one answer in this dialect: the first");
        }
        *choice != 0
    }

    fn ordered(&mut self, event: Event, out: &mut String) {
        match event {
            Event::Start(head) => {
                // Whole answers that are streamed have the details of their end in the head.
                let members = head.extra.members_of(OWN).iter().cloned();
                let (late, first) = members.partition(|(name, _)| name == "stop_details");
                self.first = Extra::new(OWN, first);
                self.news = Extra::new(OWN, late);
                self.update(head);
            }
            Event::Update(head) => {
                self.news.update(Extra::new(OWN, head.extra.members_of(OWN).to_vec()));
                self.update(head);
            }
            Event::Choice { extra, message_extra, .. } => {
                let at = Place::root().member("choices");
                self.losses.extra(&extra, &at);
                self.losses.extra(&message_extra, &at);
            }
            Event::PartStart { shell, .. } => self.part_start(*shell, out),
            Event::Delta { delta, .. } => self.delta(delta, out),
            Event::PartEnd { .. } => self.part_end(out),
            Event::Logprobs { .. } => self.logprobs(),
            Event::Finish { stop, .. } => self.stop = Some(stop),
            Event::Usage(spent) => self.usage = Some(spent),
            Event::Error(error) => {
                out.push_str(&error::error_event(&error));
                self.closed = true;
            }
            Event::End => self.end(out),
        }
    }

    pub(super) fn same(&self) -> bool {
        self.reply.source == OWN
    }

    fn update(&mut self, head: Head) {
        self.losses.extra(&head.extra, &Place::root());
        self.head.update(head);
    }

    fn logprobs(&mut self) {
        if !std::mem::replace(&mut self.told.logprobs, true) {
            self.losses.add("choices.logprobs", LossKind::Dropped, "there are none in this dialect");
        }
    }

    /// Writes the beginning, unless it is written. The input's tokens are told if they are known, and
    /// else at the end.
    pub(super) fn start(&mut self, out: &mut String) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let first = std::mem::take(&mut self.first);
        let known = Head { extra: Extra::default(), ..self.head.clone() };
        let message = write::object(|o| {
            head(o, &known, &mut self.reply);
            o.raw("content", "[]");
            usage::write(o, self.usage.as_ref(), self.head.tier.as_ref());
            o.null("stop_reason");
            o.null("stop_sequence");
            o.extra(&first, OWN);
        });
        let data = write::object(|o| {
            o.text("type", "message_start");
            o.raw("message", &message);
        });
        emit(out, "message_start", &data);
    }

    fn end(&mut self, out: &mut String) {
        self.start(out);
        self.end_thought(None, out);
        self.closed = true;
        let (of_the_end, beside): (Vec<_>, Vec<_>) =
            self.news.members_of(OWN).iter().cloned().partition(|(name, _)| OF_THE_END.contains(&name.as_str()));
        let data = write::object(|o| {
            o.text("type", "message_delta");
            o.object("delta", |o| {
                stop::write(o, self.stop.as_ref(), &self.told, &mut self.losses);
                o.null("stop_reason");
                o.null("stop_sequence");
                o.extra(&Extra::new(OWN, of_the_end), OWN);
            });
            usage::write(o, self.usage.as_ref(), None);
            o.extra(&Extra::new(OWN, beside), OWN);
        });
        emit(out, "message_delta", &data);
        emit(out, "message_stop", r#"{"type":"message_stop"}"#);
    }
}

pub(super) fn emit(out: &mut String, event: &str, data: &str) {
    out.push_str(&write::sse_data(Some(event), data));
}
