//! The most that a request can use at a target: what budgets hold for it, and what an estimate tells.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use weir_wire::request::Searches;
use weir_wire::usage::Usage;

use crate::dispatch::{Job, keep};
use crate::flight::Most;
use crate::meter::count::{self, CountJob};
use crate::money::NanoUsd;
use crate::price::{Prices, Worst};
use crate::snapshot::{Operation, Target};

/// Output tokens that are assumed where neither the caller nor the catalogue names a bound.
const ASSUMED_OUTPUT: u64 = 32_768;
/// Tokens that a picture, a file or a sound is assumed to cost at most, wherever it is.
const MEDIUM: u64 = 16_384;
/// Searches of the web that a provider is assumed to run where the request lets it and does not say how
/// often.
const ASSUMED_SEARCHES: u64 = 10;
/// Prompt tokens that the results of one search are assumed to come to (OpenAI, "Pricing": a block of 8,000
/// for each call of the smaller models).
const SEARCH_RESULTS: u64 = 8_192;
/// Whose models search without being told.
const SEARCHES_ALWAYS: &str = "perplexity";
/// What a message costs beside its text, in any template: less than its JSON has bytes, more than
/// tokenizers are known to add.
const PER_TEXT: u64 = 16;

/// Words of a body that may hold media, in any dialect. Within a text their quotes would be escaped.
pub static MEDIA: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = [
        "\"image_url\"",
        "\"input_image\"",
        "\"image\"",
        "\"input_file\"",
        "\"file\"",
        "\"document\"",
        "\"input_audio\"",
        "\"audio\"",
        "\"video\"",
        "\"video_url\"",
        "\"inlineData\"",
        "\"inline_data\"",
        "\"fileData\"",
        "\"file_data\"",
    ];
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)
        .expect("a handful of short words can be compiled")
});

/// The most that a call can use.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// Prompt tokens, by size.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// The service tier that is asked for.
    pub tier: Option<String>,
    /// Nothing but text.
    pub text_only: bool,
    /// Calls.
    pub calls: u64,
    /// Images made.
    pub images: u64,
    /// Characters spoken.
    pub characters: u64,
    /// Milliseconds heard.
    pub audio_ms: u64,
    /// Search units.
    pub search_units: u64,
    /// Pictures, sounds and files in the prompt, each of which counts as a fixed number of its tokens.
    pub media: u64,
    /// Nobody bounds the answer: its length is assumed.
    pub output_assumed: bool,
    /// Searches that the provider runs, each with what it finds.
    pub web_searches: u64,
    /// Nobody says how often it searches.
    pub searches_assumed: bool,
    /// The prompt, where counting it may show that it is less.
    pub prompt: Option<CountJob>,
}

impl Bound {
    fn worst(&self) -> Worst<'_> {
        Worst {
            input: self.all_input(),
            output: self.output,
            tier: self.tier.as_deref(),
            writes_cache: true,
            requests: self.calls,
            images: self.images,
            characters: self.characters,
            audio_ms: self.audio_ms,
            web_searches: self.web_searches,
            search_units: self.search_units,
            text_only: self.text_only,
        }
    }

    /// As the row of a call would have it whose answer nobody saw.
    #[must_use]
    pub fn most(&self) -> Most {
        let usage = Usage {
            input: self.all_input(),
            output: self.output,
            web_searches: self.web_searches,
            images: self.images,
            characters: self.characters,
            audio_ms: self.audio_ms,
            search_units: self.search_units,
            ..Usage::default()
        };
        Most { usage, tier: self.tier.clone(), text_only: self.text_only }
    }

    /// The prompt, and what searches add to it.
    #[must_use]
    pub fn all_input(&self) -> u64 {
        self.input.saturating_add(self.web_searches.saturating_mul(SEARCH_RESULTS))
    }

    /// What budgets hold for it, with what tries before this one have cost.
    #[must_use]
    pub fn cost(&self, price: &Prices, sunk: NanoUsd) -> NanoUsd {
        NanoUsd(price.worst(&self.worst()).0.saturating_add(sunk.0))
    }

    /// The same with its prompt counted, where the model's tokenizer is public: what a budget must have
    /// left for it. Takes milliseconds, off the runtime's threads.
    #[must_use]
    pub async fn counted(mut self) -> Self {
        let exact = |prompt: &CountJob| prompt.tokenizer.as_deref().is_some_and(count::is_exact);
        if let Some(prompt) = self.prompt.take().filter(exact)
            && let Ok(counted) = tokio::task::spawn_blocking(move || prompt.most()).await
        {
            self.input = self.input.min(counted.saturating_add(PER_TEXT));
        }
        self
    }

    /// What of it nobody said and is assumed, in words.
    #[must_use]
    pub fn assumptions(&self) -> Vec<String> {
        let mut assumed = Vec::new();
        if self.media > 0 {
            assumed.push(format!("{MEDIUM} input tokens for each of at most {} pictures, sounds or files", self.media));
        }
        if self.output_assumed {
            assumed.push(format!("{ASSUMED_OUTPUT} output tokens: the request has no max_tokens, and the model's longest answer is not known"));
        }
        if self.web_searches > 0 {
            assumed.push(format!("{SEARCH_RESULTS} input tokens for what each search of the provider finds"));
        }
        if self.searches_assumed {
            assumed.push(format!("{ASSUMED_SEARCHES} searches of the provider: the request does not bound them"));
        }
        assumed
    }
}

/// The most that a request can use at a target.
#[must_use]
pub fn bound(job: &Job, target: &Target) -> Bound {
    let generates = job.operation.inbound().is_some();
    let size = job.peek.prompt_size(&job.body);
    let media = size.media.max(MEDIA.find_iter(&job.body[..]).count() as u64);
    let earlier = job.earlier.as_ref().map_or(0, keep::Earlier::size);
    // A token has at least one byte, so that text has at most as many tokens as bytes.
    let input = size.text_bytes.saturating_add(media.saturating_mul(MEDIUM)).saturating_add(earlier);
    let most = target.info.as_ref().and_then(|info| info.max_output.or(info.context_window));
    let told = job.peek.max_output().or(most);
    let output = told.unwrap_or(ASSUMED_OUTPUT);
    let searches = searches(job, target).filter(|_| generates);
    Bound {
        input,
        web_searches: searches.map_or(0, |searches| searches.most.unwrap_or(ASSUMED_SEARCHES)),
        searches_assumed: searches.is_some_and(|searches| searches.most.is_none()),
        output: if generates { output.saturating_mul(job.peek.n.unwrap_or(1).max(1)) } else { 0 },
        tier: tier(job),
        text_only: media == 0,
        media,
        output_assumed: generates && told.is_none(),
        calls: 1,
        search_units: u64::from(job.operation == Operation::Rerank) * search_units(job.body.len()),
        prompt: (media == 0 && earlier == 0).then(|| CountJob {
            prompt: job.body.clone(),
            tokenizer: target.info.as_ref().and_then(|info| info.tokenizer.clone()),
            ..CountJob::default()
        }),
        ..Bound::default()
    }
}

/// Searches that the provider may run for it.
fn searches(job: &Job, target: &Target) -> Option<Searches> {
    let always = (*target.provider.kind == *SEARCHES_ALWAYS).then_some(Searches { most: None });
    job.peek.searches(&job.body).or(always)
}

/// The tier that is asked for: Anthropic's fast mode is a member of its own, and the dearest there.
fn tier(job: &Job) -> Option<String> {
    let fast = job.operation == Operation::Messages
        && job.peek.text_member(&job.body, "speed").is_some_and(|speed| speed == "fast");
    if fast { Some("fast".to_owned()) } else { job.peek.service_tier.clone() }
}

/// A unit is a query with up to a hundred documents, long ones split (Cohere, "How does pricing work");
/// no document has less than two bytes.
fn search_units(bytes: usize) -> u64 {
    1 + bytes as u64 / 200
}
