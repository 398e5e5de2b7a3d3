//! What translation costs: CPU time of one request and answer of about 4 KB, and of one chunk of a stream,
//! from every dialect that comes in to every dialect that goes out.
//!
//!     cargo run --release -p weir-wire --example translation_cost
//!
//! Figures of a machine, for the bench report; no test depends on them.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use weir_wire::gemini::Framing;
use weir_wire::hub::{
    Answer, Capabilities, Choice, CustomCalls, Dialect, Extra, Head, Ids, Part, Reply, Spent, Stop, StopReason, Target,
};
use weir_wire::rules::UsageRules;
use weir_wire::translate::{self, Caller, Decoder, Facts, Inbound};
use weir_wire::usage::Usage;

const INBOUND: [Inbound; 4] = [Inbound::Chat, Inbound::Responses, Inbound::Anthropic, Inbound::Gemini];
const OUTBOUND: [Dialect; 4] = [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic, Dialect::Gemini];
const ROUNDS: u32 = 5_000;
const CHUNKS: usize = 200;

fn main() {
    println!("from            to              request+answer   stream, per chunk");
    for inbound in INBOUND {
        for outbound in OUTBOUND {
            let whole = whole(inbound, outbound);
            let chunk = stream(inbound, outbound);
            println!("{:<15} {:<15} {whole:>10.1} us   {chunk:>10.2} us", name(inbound.dialect()), name(outbound));
        }
    }
}

fn name(dialect: Dialect) -> &'static str {
    dialect.name()
}

/// A conversation of about 4 KB, as this dialect's callers write it.
fn question(inbound: Inbound) -> Vec<u8> {
    let chat = chat();
    let request = translate::decode_request(Dialect::OpenAiChat, chat.as_bytes()).expect("it is a chat");
    encoded(inbound.dialect(), &request)
}

fn chat() -> String {
    let said = "The quick brown fox jumps over the lazy dog, and then it does so again. ".repeat(6);
    let turns: Vec<String> = (0..8)
        .map(|turn| format!(r#"{{"role":"{}","content":"{said}"}}"#, if turn % 2 == 0 { "user" } else { "assistant" }))
        .collect();
    let tool = r#"{"type":"function","function":{"name":"get_weather","description":"The weather of a city.","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}"#;
    format!(
        r#"{{"model":"m","max_tokens":500,"temperature":0.5,"messages":[{{"role":"system","content":"Be brief."}},{},{{"role":"user","content":"And now?"}}],"tools":[{tool}]}}"#,
        turns.join(",")
    )
}

fn encoded(dialect: Dialect, request: &weir_wire::hub::Request) -> Vec<u8> {
    let capabilities = Capabilities::default();
    let target = Target { model: "m", capabilities: &capabilities, caller: Dialect::OpenAiChat };
    translate::encode_request(dialect, request, &target).expect("it can be said").body.into_bytes()
}

fn answer() -> Answer {
    let text = "It is sunny in the city, and it will stay so until the evening. ".repeat(8);
    Answer {
        head: Head { id: Some("a".into()), model: Some("m".into()), created: Some(1), ..Head::default() },
        choices: vec![Choice {
            parts: vec![Part::text(&text)],
            stop: Some(Stop::new(StopReason::End)),
            ..Choice::default()
        }],
        usage: Some(Spent { tokens: Usage { input: 900, output: 120, ..Usage::default() }, ..Spent::default() }),
    }
}

fn caller(form: Inbound, source: Dialect) -> Caller {
    Caller {
        form,
        reply: Reply { source, now: 1, model: "m".into(), ids: Ids::new(1) },
        include_usage: true,
        framing: Framing::Sse,
        echo: Extra::default(),
        custom: CustomCalls::new(&weir_wire::hub::Request::default(), 0),
        model: None,
    }
}

fn of(dialect: Dialect) -> Inbound {
    INBOUND.into_iter().find(|inbound| inbound.dialect() == dialect).expect("it comes in too")
}

/// Microseconds of one request there and its answer back.
fn whole(inbound: Inbound, outbound: Dialect) -> f64 {
    let (question, rules) = (question(inbound), UsageRules::default());
    let told = caller(of(outbound), Dialect::Cohere).encode_answer(answer()).body.into_bytes();
    let capabilities = Capabilities::default();
    let target = Target { model: "m", capabilities: &capabilities, caller: inbound.dialect() };
    timed(ROUNDS, || {
        let mut request = inbound.decode_request(&question).expect("it is a request");
        request.link_results(&mut Ids::new(1));
        let sent = translate::encode_request(outbound, &request, &target).expect("it can be said");
        let answer = translate::decode_answer(outbound, &told, &rules).expect("it is an answer");
        let mut facts = Facts::default();
        facts.answer(&answer);
        sent.body.len() + caller(inbound, outbound).encode_answer(answer).body.len()
    })
}

/// Microseconds of one chunk of a stream of many.
fn stream(inbound: Inbound, outbound: Dialect) -> f64 {
    let frames = frames(outbound);
    let rules = Arc::new(UsageRules::default());
    let rounds = ROUNDS / 20;
    let each = timed(rounds, || {
        let (mut decoder, mut encoder) =
            (Decoder::new(outbound, Arc::clone(&rules), 1 << 20), caller(inbound, outbound).encoder());
        let (mut facts, mut events, mut bytes) = (Facts::default(), Vec::new(), 0);
        for frame in &frames {
            decoder.push(frame.clone(), &mut events);
            let mut out = String::new();
            for event in events.drain(..) {
                facts.event(&event);
                encoder.push(event, &mut out);
            }
            bytes += out.len();
        }
        bytes
    });
    each / frames.len() as f64
}

/// A stream of many words, frame by frame.
fn frames(dialect: Dialect) -> Vec<Bytes> {
    use weir_wire::hub::{Delta, Event};
    let mut encoder = caller(of(dialect), Dialect::Cohere).encoder();
    let head = Head { id: Some("a".into()), model: Some("m".into()), ..Head::default() };
    let mut events = vec![
        Event::Start(head),
        Event::Choice { choice: 0, extra: Extra::default(), message_extra: Extra::default() },
        Event::PartStart { choice: 0, part: 0, shell: Box::new(Part::text("")) },
    ];
    events.extend((0..CHUNKS).map(|_| Event::Delta { choice: 0, part: 0, delta: Delta::Text(" word".into()) }));
    events.extend([
        Event::PartEnd { choice: 0, part: 0 },
        Event::Finish { choice: 0, stop: Stop::new(StopReason::End) },
        Event::Usage(Spent { tokens: Usage { input: 9, output: 200, ..Usage::default() }, ..Spent::default() }),
        Event::End,
    ]);
    let mut out = String::new();
    events.into_iter().for_each(|event| encoder.push(event, &mut out));
    out.split_inclusive("\n\n").map(|frame| Bytes::copy_from_slice(frame.as_bytes())).collect()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed(rounds: u32, mut work: impl FnMut() -> usize) -> f64 {
    let mut bytes = 0;
    for _ in 0..rounds / 10 {
        bytes += work();
    }
    let start = Instant::now();
    for _ in 0..rounds {
        bytes += work();
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
    assert!(bytes > 0, "nothing was done");
    each
}
