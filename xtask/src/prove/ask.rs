//! What a request asks for: its model and form, and the script that its upstream is to follow, which travels in the
//! prompt.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::chance::Chance;
use super::tariff::{ALPHA, BETA, GAMMA, MODELS, PROVIDER, Tokens};

/// The number of a request within one run; its text is its `x-request-id`.
pub(super) type Id = u64;

/// What stands before the number in a request id.
const ID_PREFIX: &str = "proof-";

/// The request id of that number.
pub(super) fn id_text(id: Id) -> String {
    format!("{ID_PREFIX}{id:09}")
}

/// The number of a request id, if it is one of ours.
pub(super) fn id_number(text: &str) -> Option<Id> {
    text.strip_prefix(ID_PREFIX)?.parse().ok()
}

/// What the upstream does with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Script {
    /// The request.
    pub(super) id: Id,
    /// What it reports as used.
    pub(super) tokens: Tokens,
    /// Pieces of text of a stream.
    pub(super) chunks: u32,
    /// Before each piece, and before a whole answer, in milliseconds.
    pub(super) delay_ms: u64,
    /// So many calls fail first ...
    pub(super) fail: u32,
    /// ... with this status.
    pub(super) status: u16,
    /// The connection breaks after so many pieces.
    pub(super) cut: Option<u32>,
    /// Usage is not reported.
    pub(super) silent: bool,
}

/// When the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// When so many bytes of the answer's body came.
    Bytes(u64),
    /// So many milliseconds after it asked.
    Millis(u64),
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// What the upstream is to do.
    pub(super) script: Script,
    /// The model, by its place in `MODELS`; `None` asks for one that does not exist.
    pub(super) model: Option<u8>,
    /// The model to fall back to.
    pub(super) fallback: Option<u8>,
    /// As a stream.
    pub(super) stream: bool,
    /// With the usage chunk for the client.
    pub(super) usage: bool,
    /// Most that may be generated.
    pub(super) max_tokens: Option<u64>,
    /// Which of the run's keys asks.
    pub(super) key: u8,
    /// `x-weir-tags`.
    pub(super) tags: Option<&'static str>,
    /// Whether and when its client leaves.
    pub(super) leave: Option<Leave>,
}

impl Ask {
    /// A plain request without a stream.
    pub(super) fn plain(id: Id, model: u8, tokens: Tokens) -> Self {
        Self {
            script: Script { id, tokens, chunks: 3, status: 500, ..Script::default() },
            model: Some(model),
            fallback: None,
            stream: false,
            usage: false,
            max_tokens: None,
            key: 0,
            tags: None,
            leave: None,
        }
    }

    /// One of a mixed load: streams and whole answers, cached and reasoning tokens, three models.
    pub(super) fn mixed(id: Id, keys: u64, chance: &mut Chance) -> Self {
        let model = [ALPHA, BETA, GAMMA][pick(chance.below(3))];
        let mut ask = Self::plain(id, model, tokens(chance));
        ask.stream = chance.percent(50);
        ask.usage = chance.percent(50);
        ask.key = u8::try_from(chance.below(keys)).unwrap_or(0);
        ask.script.chunks = u32::try_from(chance.between(1, 12)).unwrap_or(1);
        ask
    }

    /// The same with some trouble: fallbacks, failures, broken streams, silence about usage, refusals.
    pub(super) fn troubled(id: Id, keys: u64, chance: &mut Chance) -> Self {
        let mut ask = Self::mixed(id, keys, chance);
        match chance.below(20) {
            0 | 1 => ask.falls_back(chance),
            2 => (ask.script.fail, ask.script.status) = (9, [500, 429][pick(chance.below(2))]),
            3 => ask.script.cut = Some(u32::try_from(chance.below(8)).unwrap_or(0)),
            4 => ask.script.silent = true,
            5 => ask.model = None,
            _ => {}
        }
        ask
    }

    fn falls_back(&mut self, chance: &mut Chance) {
        self.script.fail = 1;
        self.script.status = [500, 503, 429][pick(chance.below(3))];
        let others: Vec<u8> = [ALPHA, BETA, GAMMA].into_iter().filter(|other| self.model != Some(*other)).collect();
        self.fallback = Some(others[pick(chance.below(2))]);
    }

    /// The body as it is sent.
    pub(super) fn body(&self) -> String {
        let name = |model: Option<u8>| {
            let name = model.map_or("no-such-model", |model| MODELS[usize::from(model)].name);
            format!("{PROVIDER}/{name}")
        };
        // The gateway forwards unknown models to a provider that is named: one without a provider is refused.
        let model = if self.model.is_none() { "no-such-model".to_owned() } else { name(self.model) };
        let script = serde_json::to_string(&self.script).unwrap_or_default();
        let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": script }] });
        if self.stream {
            body["stream"] = true.into();
        }
        if self.stream && self.usage {
            body["stream_options"] = json!({ "include_usage": true });
        }
        if let Some(most) = self.max_tokens {
            body["max_tokens"] = most.into();
        }
        if self.fallback.is_some() {
            body["fallbacks"] = json!([name(self.fallback)]);
        }
        body.to_string()
    }
}

fn pick(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// Any use; sometimes a large one.
fn tokens(chance: &mut Chance) -> Tokens {
    let most = if chance.percent(5) { 2_000_000 } else { 5_000 };
    let (input, output) = (chance.between(1, most), chance.between(1, most));
    let cached = if chance.percent(40) { chance.below(input + 1) } else { 0 };
    let reasoning = if chance.percent(40) { chance.below(output + 1) } else { 0 };
    Tokens { input, cached, output, reasoning }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_others_are_not_ours() {
        assert_eq!(id_number(&id_text(1_234_567_890)), Some(1_234_567_890));
        assert_eq!(id_number("0197a1b2-0000-7000-8000-000000000000"), None);
        assert_eq!(id_number("proof-x"), None);
    }

    #[test]
    fn a_body_carries_its_script() {
        let mut chance = Chance::new(1);
        let ask = Ask {
            max_tokens: Some(9),
            fallback: Some(BETA),
            stream: true,
            usage: true,
            ..Ask::mixed(5, 2, &mut chance)
        };
        let body: serde_json::Value = serde_json::from_str(&ask.body()).unwrap();
        let script: Script = serde_json::from_str(body["messages"][0]["content"].as_str().unwrap()).unwrap();
        assert_eq!(script, ask.script);
        assert_eq!((body["max_tokens"].as_u64(), body["fallbacks"][0].as_str()), (Some(9), Some("proof/beta")));
        assert_eq!(body["stream_options"]["include_usage"], true);
    }

    #[test]
    fn a_load_is_repeated_by_its_seed_and_keeps_parts_below_their_wholes() {
        let (mut one, mut same) = (Chance::new(3), Chance::new(3));
        for id in 0..2_000 {
            let ask = Ask::troubled(id, 3, &mut one);
            assert_eq!(ask.body(), Ask::troubled(id, 3, &mut same).body());
            let Tokens { input, cached, output, reasoning } = ask.script.tokens;
            assert!(cached <= input && reasoning <= output && ask.key < 3);
        }
    }
}
