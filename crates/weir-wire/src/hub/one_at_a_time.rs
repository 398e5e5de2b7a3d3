//! For dialects in whose streams one part is open at a time: what comes for another waits.

use std::collections::VecDeque;

use super::Event;
use crate::fault::UpstreamError;

/// What an event that waits costs beside its text, in bytes.
const OVERHEAD: usize = 64;

/// Puts a stream's events in an order in which a part ends before the next begins. The first part
/// to begin passes as it comes; those that begin while it is open follow whole, in their order.
/// (OpenAI interleaves the arguments of parallel calls; Anthropic and Bedrock cannot.) For streams
/// of one choice: the dialects that need it have no more.
#[derive(Debug)]
pub struct OneAtATime {
    open: Option<(u32, u32)>,
    waiting: VecDeque<Waiting>,
    left: usize,
    failed: bool,
    /// Something was said of a part that had ended and passed.
    late: bool,
}

/// A part that began while another was open, and its events.
#[derive(Debug)]
struct Waiting {
    key: (u32, u32),
    events: Vec<Event>,
    ended: bool,
}

impl OneAtATime {
    /// Holds back at most about `limit` bytes; a stream that needs more ends in an error.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { open: None, waiting: VecDeque::new(), left: limit, failed: false, late: false }
    }

    /// Whether something was said of a part after its end, since this was last asked: such events
    /// (citations that a provider finds afterwards) have no place in an order with one open part, and
    /// whoever writes the stream notes the loss. One of a part that still waits is put before its end.
    pub fn take_late(&mut self) -> bool {
        std::mem::take(&mut self.late)
    }

    /// Takes the next event and appends those whose turn it is.
    pub fn push(&mut self, event: Event, out: &mut Vec<Event>) {
        if self.failed {
            return;
        }
        match &event {
            Event::PartStart { choice, part, .. } => self.start((*choice, *part), event, out),
            Event::Delta { choice, part, .. } => self.more((*choice, *part), event, false, out),
            Event::PartEnd { choice, part } => self.more((*choice, *part), event, true, out),
            Event::Finish { choice, .. } => {
                self.flush(Some(*choice), out);
                out.push(event);
            }
            Event::End => {
                self.flush(None, out);
                out.push(event);
            }
            Event::Error(_) => {
                self.failed = true;
                out.push(event);
            }
            Event::Start(_) | Event::Update(_) | Event::Choice { .. } | Event::Logprobs { .. } | Event::Usage(_) => {
                out.push(event)
            }
        }
    }

    fn start(&mut self, key: (u32, u32), event: Event, out: &mut Vec<Event>) {
        if self.open.is_none() {
            self.open = Some(key);
            out.push(event);
        } else if self.afford(&event, out) {
            self.waiting.push_back(Waiting { key, events: vec![event], ended: false });
        }
    }

    fn more(&mut self, key: (u32, u32), event: Event, ends: bool, out: &mut Vec<Event>) {
        if self.open == Some(key) {
            out.push(event);
            if ends {
                self.next(out);
            }
            return;
        }
        let Some(at) = self.waiting.iter().rposition(|waiting| waiting.key == key) else {
            self.late |= !ends;
            return;
        };
        if !self.afford(&event, out) {
            return;
        }
        let Some(waiting) = self.waiting.get_mut(at) else { return };
        if !waiting.ended {
            waiting.events.push(event);
            waiting.ended = ends;
        } else if !ends {
            waiting.events.insert(waiting.events.len().saturating_sub(1), event);
        }
    }

    /// Lets pass those that wait, up to and including the first that has not ended.
    fn next(&mut self, out: &mut Vec<Event>) {
        self.open = None;
        while let Some(waiting) = self.waiting.pop_front() {
            self.left += waiting.events.iter().map(cost).sum::<usize>();
            out.extend(waiting.events);
            if !waiting.ended {
                self.open = Some(waiting.key);
                return;
            }
        }
    }

    /// Lets pass all that waits, of this choice if one is named, whether it has ended or not.
    fn flush(&mut self, choice: Option<u32>, out: &mut Vec<Event>) {
        let concerns = |key: (u32, u32)| choice.is_none_or(|choice| key.0 == choice);
        while self.waiting.iter().any(|waiting| concerns(waiting.key)) || self.open.is_some_and(concerns) {
            if let Some((choice, part)) = self.open {
                out.push(Event::PartEnd { choice, part });
            }
            self.next(out);
        }
    }

    /// Whether there is room to hold the event; if not, the stream has failed.
    fn afford(&mut self, event: &Event, out: &mut Vec<Event>) -> bool {
        match self.left.checked_sub(cost(event)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.failed = true;
                let message = "the answer's parts are interleaved beyond what can be held back".to_owned();
                out.push(Event::Error(UpstreamError { message, ..UpstreamError::default() }));
                false
            }
        }
    }
}

fn cost(event: &Event) -> usize {
    let text = match event {
        Event::Delta { delta, .. } => super::fold::size(delta),
        Event::PartStart { shell, .. } => shell.extra.size(),
        _ => 0,
    };
    OVERHEAD + text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Answer, Delta, Fold, FoldError, Part, Stop, StopReason};
    use super::*;

    fn start(part: u32) -> Event {
        Event::PartStart { choice: 0, part, shell: Box::new(Part::text("")) }
    }

    fn delta(part: u32, text: &str) -> Event {
        Event::Delta { choice: 0, part, delta: Delta::Text(text.into()) }
    }

    fn end(part: u32) -> Event {
        Event::PartEnd { choice: 0, part }
    }

    fn finish() -> Event {
        Event::Finish { choice: 0, stop: Stop::new(StopReason::End) }
    }

    fn pass(events: &[Event], limit: usize) -> Vec<Event> {
        let mut order = OneAtATime::new(limit);
        let mut out = Vec::new();
        events.iter().for_each(|event| order.push(event.clone(), &mut out));
        out
    }

    fn fold(events: Vec<Event>) -> Result<Answer, FoldError> {
        let mut fold = Fold::new(1 << 20);
        events.into_iter().try_for_each(|event| fold.push(event))?;
        fold.finish()
    }

    #[test]
    fn the_second_waits_for_the_first() {
        let events = [start(0), start(1), delta(1, "b"), delta(0, "a"), end(0), delta(1, "c"), end(1), finish()];
        let expected = [start(0), delta(0, "a"), end(0), start(1), delta(1, "b"), delta(1, "c"), end(1), finish()];
        assert_eq!(pass(&events, 1000), expected);
    }

    #[test]
    fn what_is_said_after_an_end_is_noted_or_put_before_it() {
        let mut order = OneAtATime::new(1000);
        let mut out = Vec::new();
        let events = [start(0), start(1), delta(1, "b"), end(1), delta(1, "c"), end(1), end(0)];
        events.into_iter().for_each(|event| order.push(event, &mut out));
        assert_eq!(out, [start(0), end(0), start(1), delta(1, "b"), delta(1, "c"), end(1)]);
        assert!(!order.take_late());
        order.push(end(0), &mut out);
        assert!(!order.take_late());
        order.push(delta(0, "a"), &mut out);
        assert_eq!(out.len(), 6);
        assert!(order.take_late() && !order.take_late());
    }

    #[test]
    fn what_never_ended_is_ended_before_the_finish() {
        let events = [start(0), start(1), delta(1, "b"), finish(), Event::End];
        let expected = [start(0), end(0), start(1), delta(1, "b"), end(1), finish(), Event::End];
        assert_eq!(pass(&events, 1000), expected);
    }

    #[test]
    fn too_much_to_hold_is_an_error_and_the_last_event() {
        let events = [start(0), start(1), delta(1, &"b".repeat(1000)), end(0), end(1), Event::End];
        let out = pass(&events, 500);
        assert!(matches!(out[..], [Event::PartStart { .. }, Event::Error(_)]));
    }

    proptest! {
        #[test]
        fn the_answer_is_the_same_and_one_part_is_open(script in proptest::collection::vec((0..4u32, 0..3u8), 0..40)) {
            let (mut events, mut begun, mut ended) = (Vec::new(), 0, [false; 4]);
            for (part, what) in script {
                match what {
                    0 if begun < 4 => {
                        events.push(start(begun));
                        begun += 1;
                    }
                    1 if part < begun && !ended[part as usize] => {
                        ended[part as usize] = true;
                        events.push(end(part));
                    }
                    2 if part < begun && !ended[part as usize] => events.push(delta(part, &part.to_string())),
                    _ => {}
                }
            }
            events.extend([finish(), Event::End]);
            let out = pass(&events, 1 << 20);
            let mut open = None;
            for event in &out {
                match event {
                    Event::PartStart { part, .. } => prop_assert_eq!(open.replace(*part), None),
                    Event::Delta { part, .. } => prop_assert_eq!(open, Some(*part)),
                    Event::PartEnd { part, .. } => prop_assert_eq!(open.take(), Some(*part)),
                    Event::Finish { .. } => prop_assert_eq!(open, None),
                    _ => {}
                }
            }
            prop_assert_eq!(fold(out), fold(events));
        }
    }
}
