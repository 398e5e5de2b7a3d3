//! A model's answer as it comes, event by event.

use super::{Citation, Extra, Head, Logprobs, Part, Seal, Spent, Stop};
use crate::fault::UpstreamError;

/// What happens in a stream. In order: one [`Event::Start`]; then, in any interleaving, each
/// choice's [`Event::Choice`], parts, log probabilities and [`Event::Finish`], with
/// [`Event::Update`] and [`Event::Usage`] between them or after; then [`Event::End`]. Or
/// [`Event::Error`] at any point, and nothing after it. A stream that just stops has no end: a
/// decoder makes an error of that, and never invents a finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer begins.
    Start(Head),
    /// More about the whole answer: what is said replaces what was.
    Update(Head),
    /// A choice begins, or says more about itself: what is said replaces what was.
    Choice {
        /// Which choice.
        choice: u32,
        /// [`super::Choice::extra`]
        extra: Extra,
        /// [`super::Choice::message_extra`]
        message_extra: Extra,
    },
    /// A part begins. Parts are numbered from 0 in each choice, in the order they begin, which is
    /// their order in the answer. Several may be open at once.
    PartStart {
        /// Which choice.
        choice: u32,
        /// Which part.
        part: u32,
        /// The part as far as it is known: deltas add to it. Its kind is final, and so is a tool
        /// call's name.
        shell: Box<Part>,
    },
    /// More of a part.
    Delta {
        /// Which choice.
        choice: u32,
        /// Which part.
        part: u32,
        /// What is added.
        delta: Delta,
    },
    /// A part is complete.
    PartEnd {
        /// Which choice.
        choice: u32,
        /// Which part.
        part: u32,
    },
    /// Log probabilities of the next tokens.
    Logprobs {
        /// Which choice.
        choice: u32,
        /// Those of the next tokens.
        more: Logprobs,
    },
    /// A choice has ended, for this reason.
    Finish {
        /// Which choice.
        choice: u32,
        /// The reason.
        stop: Stop,
    },
    /// What was consumed so far: replaces what was said before, and is never added to it.
    Usage(Spent),
    /// The provider failed. The last event.
    Error(UpstreamError),
    /// The answer is complete. The last event.
    End,
}

/// What is added to a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Text of a text, a thinking or a refusal part.
    Text(String),
    /// Text of a tool call's arguments.
    Arguments(String),
    /// Base64 of audio or an image.
    Data(String),
    /// Words of a sound.
    Transcript(String),
    /// A citation of a text part.
    Citation(Citation),
    /// More of the part's [`Part::signature`]. A call's comes before its arguments.
    Signature(Seal),
    /// More of a thinking part's encrypted thoughts.
    Encrypted(Seal),
    /// Members only its own dialect understands.
    Extra(Extra),
}
