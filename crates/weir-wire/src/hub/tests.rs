//! The law `fold(unfold(a)) == a`, and what a fold refuses.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::fault::UpstreamError;
use crate::usage::Usage;

fn word() -> impl Strategy<Value = String> {
    "[a-z \"\\\\\n🦀é]{0,8}"
}

fn dialect() -> impl Strategy<Value = Dialect> {
    use Dialect::{Anthropic, Bedrock, Cohere, Gemini, Ollama, OpenAiChat, OpenAiResponses};
    proptest::sample::select(vec![OpenAiChat, OpenAiResponses, Anthropic, Gemini, Bedrock, Cohere, Ollama])
}

fn extra() -> impl Strategy<Value = Extra> {
    let members = proptest::collection::btree_map("[a-z]{1,4}", word(), 0..3);
    (dialect(), members).prop_map(|(dialect, members)| {
        let members = members.into_iter().map(|(name, value)| (name, Json::string(&value))).collect();
        Extra::new(dialect, members)
    })
}

fn native() -> impl Strategy<Value = Native> {
    (dialect(), word()).prop_map(|(dialect, text)| Native { dialect, json: Json::string(&text) })
}

fn seal() -> impl Strategy<Value = Seal> {
    (word(), option::of(dialect())).prop_map(|(text, origin)| Seal { text, origin })
}

fn citation() -> impl Strategy<Value = Citation> {
    (option::of(0..9u64), option::of(word()), option::of(native())).prop_map(|(start, url, raw)| Citation {
        start,
        url,
        raw,
        ..Citation::default()
    })
}

fn media() -> impl Strategy<Value = Media> {
    let source = prop_oneof![
        word().prop_map(Source::Base64),
        word().prop_map(Source::Url),
        word().prop_map(Source::File),
        word().prop_map(Source::Plain),
    ];
    (source, option::of(word()), option::of(word()), extra()).prop_map(|(source, mime, transcript, extra)| Media {
        source,
        mime,
        detail: None,
        transcript,
        extra,
    })
}

fn thinking() -> impl Strategy<Value = Thinking> {
    (word(), option::of(word()), any::<[bool; 2]>(), option::of(seal()), option::of(dialect())).prop_map(
        |(text, id, [summary, redacted], encrypted, origin)| Thinking {
            id,
            text,
            summary,
            encrypted,
            redacted,
            origin,
        },
    )
}

fn call() -> impl Strategy<Value = ToolCall> {
    (option::of(word()), word(), word(), any::<bool>(), extra()).prop_map(|(id, name, arguments, custom, extra)| {
        let kind = if custom { CallKind::Custom } else { CallKind::Function };
        ToolCall { id, name, arguments, kind, extra }
    })
}

fn kind() -> impl Strategy<Value = PartKind> {
    let text = (word(), vec(citation(), 0..3)).prop_map(|(text, citations)| Text { text, citations });
    prop_oneof![
        text.prop_map(PartKind::Text),
        media().prop_map(PartKind::Image),
        media().prop_map(PartKind::Audio),
        thinking().prop_map(PartKind::Thinking),
        call().prop_map(PartKind::ToolCall),
        word().prop_map(PartKind::Refusal),
        (word(), native()).prop_map(|(name, native)| PartKind::Opaque(Opaque { name, native })),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    (kind(), option::of(seal()), any::<u16>(), dialect(), extra()).prop_map(
        |(kind, signature, bits, dialect, extra)| Part {
            signature,
            form: Form::new(dialect, bits),
            extra,
            ..Part::new(kind)
        },
    )
}

fn logprobs() -> impl Strategy<Value = Logprobs> {
    let token = (word(), -9..0i32).prop_map(|(token, logprob)| TokenLogprob {
        token,
        logprob: Num::decimal(f64::from(logprob)),
        bytes: None,
        top: Vec::new(),
        extra: Extra::default(),
    });
    (vec(token, 0..3), extra()).prop_map(|(content, extra)| Logprobs { content, refusal: Vec::new(), extra })
}

fn stop() -> impl Strategy<Value = Stop> {
    (option::of((dialect(), word())), option::of(word())).prop_map(|(word, sequence)| Stop {
        word: word.map(|(dialect, text)| Word { dialect, text }),
        sequence,
        ..Stop::new(StopReason::End)
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let choice = (vec(part(), 0..5), option::of(stop()), option::of(logprobs()), extra(), extra());
    let head = (option::of(word()), option::of(word()), option::of(0..9u64), extra());
    let usage = option::of((0..99u64, option::of(native())));
    (head, vec(choice, 0..3), usage).prop_map(|((id, model, created, extra), choices, usage)| Answer {
        head: Head { id, model, created, tier: None, extra },
        choices: (0..)
            .zip(choices)
            .map(|(index, (parts, stop, logprobs, extra, message_extra))| Choice {
                index,
                parts,
                stop,
                logprobs,
                extra,
                message_extra,
            })
            .collect(),
        usage: usage.map(|(input, native)| Spent { tokens: Usage { input, ..Usage::default() }, native, bent: false }),
    })
}

fn fold_all(events: Vec<Event>, limit: usize) -> Result<Answer, FoldError> {
    let mut fold = Fold::new(limit);
    events.into_iter().try_for_each(|event| fold.push(event))?;
    fold.finish()
}

proptest! {
    #[test]
    fn folding_undoes_unfolding(answer in answer()) {
        prop_assert_eq!(fold_all(unfold(answer.clone()), 1 << 20), Ok(answer));
    }

    #[test]
    fn a_cut_stream_is_no_answer(answer in answer(), at in 0..20usize) {
        let mut events = unfold(answer);
        events.truncate(at.min(events.len() - 1));
        prop_assert_eq!(fold_all(events, 1 << 20), Err(FoldError::Unfinished));
    }
}

#[test]
fn a_fold_is_bounded() {
    let text = |length| {
        let shell = Box::new(Part::text(""));
        let delta = Delta::Text("x".repeat(length));
        vec![Event::PartStart { choice: 0, part: 0, shell }, Event::Delta { choice: 0, part: 0, delta }, Event::End]
    };
    assert!(fold_all(text(100), 100).is_ok());
    assert_eq!(fold_all(text(101), 100), Err(FoldError::TooLarge));
    let empty = || Extra::default();
    let choices = (0..1000).map(|choice| Event::Choice { choice, extra: empty(), message_extra: empty() });
    assert_eq!(fold_all(choices.collect(), 100), Err(FoldError::TooLarge));
}

#[test]
fn a_fold_refuses_what_is_out_of_order() {
    let delta = Event::Delta { choice: 0, part: 0, delta: Delta::Text("x".into()) };
    assert_eq!(fold_all(vec![delta.clone()], 100), Err(FoldError::Misplaced));
    let call = Part::new(PartKind::ToolCall(ToolCall::default()));
    let start = |part| Event::PartStart { choice: 0, part, shell: Box::new(call.clone()) };
    assert_eq!(fold_all(vec![start(1)], 100), Err(FoldError::Misplaced));
    assert_eq!(fold_all(vec![start(0), delta], 100), Err(FoldError::Misplaced));
    let error = UpstreamError { message: "no".into(), ..UpstreamError::default() };
    assert_eq!(fold_all(vec![Event::Error(error.clone())], 100), Err(FoldError::Upstream(error)));
}

#[test]
fn what_is_said_later_counts() {
    let member = |value: &str| Extra::new(Dialect::Gemini, vec![("a".into(), Json::string(value))]);
    let head =
        |id: Option<&str>, value: &str| Head { id: id.map(str::to_owned), extra: member(value), ..Head::default() };
    let events = vec![Event::Start(head(Some("1"), "x")), Event::Update(head(None, "y")), Event::End];
    assert_eq!(fold_all(events, 100).unwrap().head, head(Some("1"), "y"));
}

#[test]
fn places_name_members_and_elements() {
    let place = Place::root().member("messages").index(2).member("content");
    assert_eq!(place.as_str(), "messages[2].content");
    assert_eq!(place, Place::root());
}

#[test]
fn forms_are_seen_by_their_own_dialect() {
    let form = Form::new(Dialect::Gemini, 5);
    assert!(form.has(Dialect::Gemini, 4) && !form.has(Dialect::Gemini, 2) && !form.has(Dialect::Cohere, 4));
    assert_eq!(Form::new(Dialect::Gemini, 0), Form::default());
}
