//! A streamed text completion, written chunk by chunk.

use super::encode_answer::{CHAT, head, id, refused, unsaid, word};
use super::logprobs;
use crate::hub::write::{self, Obj};
use crate::hub::{Delta, Event, Extra, Head, Loss, LossKind, Losses, Part, PartKind, Place, Reply, Spent, Text};
use crate::openai_chat;

/// Writes the events of one stream for a caller of text completions. Never fails: what is no text
/// is a loss.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: Reply,
    /// The caller asked for a last chunk with the usage.
    include_usage: bool,
    head: Head,
    /// Members of the head not told yet.
    news: Extra,
    choices: Vec<ChoiceOut>,
    usage: Option<Spent>,
    /// What it cost, in dollars.
    cost: Option<String>,
    losses: Losses,
    closed: bool,
}

#[derive(Debug)]
struct ChoiceOut {
    index: u32,
    /// Of each part, whether it is text.
    parts: Vec<bool>,
    /// Where the next token begins, in characters.
    offset: u64,
    /// That citations are lost was noted.
    cited: bool,
}

impl StreamEncoder {
    /// For one stream. The reply says what the events may lack.
    #[must_use]
    pub fn new(reply: Reply, include_usage: bool) -> Self {
        let losses = Losses::new(reply.source, CHAT);
        Self {
            reply,
            include_usage,
            head: Head::default(),
            news: Extra::default(),
            choices: Vec::new(),
            usage: None,
            cost: None,
            losses,
            closed: false,
        }
    }

    /// Writes what the event adds to the stream: none, one or several server-sent events.
    pub fn push(&mut self, event: &Event, out: &mut String) {
        if self.closed {
            return;
        }
        match event {
            Event::Start(head) | Event::Update(head) => self.update(head),
            Event::Choice { extra, message_extra, choice } => self.note(*choice, extra, message_extra, out),
            Event::PartStart { choice, shell, .. } => self.part_start(*choice, shell, out),
            Event::Delta { choice, part, delta } => self.delta(*choice, *part, delta, out),
            Event::PartEnd { .. } => {}
            Event::Logprobs { choice, more } => {
                let (json, next) = logprobs::text_of(more, self.choice(*choice).offset);
                self.choice(*choice).offset = next;
                self.emit(*choice, "", |o| o.raw("logprobs", &json), None, out);
            }
            Event::Finish { choice, stop } => {
                let word = word(stop, &mut self.losses);
                self.emit(*choice, "", |o| o.null("logprobs"), Some(word), out);
            }
            Event::Usage(spent) => self.usage = Some(spent.clone()),
            Event::Error(error) => {
                out.push_str(&openai_chat::error_event(error));
                self.closed = true;
            }
            Event::End => self.end(out),
        }
    }

    /// Says what the answer cost, in dollars, which stands as `cost_usd` in the usage. Before the end.
    pub fn cost(&mut self, usd: &str) {
        self.cost = Some(usd.to_owned());
    }

    /// What was lost, once the stream has ended.
    #[must_use]
    pub fn into_losses(self) -> Vec<Loss> {
        self.losses.seal_answer(String::new()).losses
    }

    fn update(&mut self, head: &Head) {
        self.losses.extra(&head.extra, &Place::root());
        self.news.update(Extra::new(CHAT, head.extra.members_of(CHAT).to_vec()));
        self.head.update(head.clone());
    }

    fn choice(&mut self, index: u32) -> &mut ChoiceOut {
        let found = self.choices.iter().position(|choice| choice.index == index);
        let at = found.unwrap_or(self.choices.len());
        if found.is_none() {
            self.choices.push(ChoiceOut { index, parts: Vec::new(), offset: 0, cited: false });
        }
        &mut self.choices[at]
    }

    fn note(&mut self, choice: u32, extra: &Extra, message_extra: &Extra, out: &mut String) {
        self.choice(choice);
        self.losses.extra(extra, &Place::root().member("choices"));
        unsaid(message_extra, &mut self.losses);
        if !extra.members_of(CHAT).is_empty() {
            let extra = extra.clone();
            let more = |o: &mut Obj<'_>| {
                o.null("logprobs");
                o.null("finish_reason");
                o.extra(&extra, CHAT);
            };
            self.emit(choice, "", more, None, out);
        }
    }

    fn part_start(&mut self, choice: u32, shell: &Part, out: &mut String) {
        let (is_text, begun) = match &shell.kind {
            PartKind::Text(Text { text, citations }) => {
                citations.iter().for_each(|_| self.cited(choice));
                (true, text.as_str())
            }
            PartKind::Refusal(words) => {
                refused(shell, &mut self.losses);
                (true, words.as_str())
            }
            _ => {
                self.losses.drop_part(shell, "a text completion is text alone");
                (false, "")
            }
        };
        self.choice(choice).parts.push(is_text);
        self.say(choice, begun, out);
    }

    fn delta(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut String) {
        if self.choice(choice).parts.get(part as usize) != Some(&true) {
            return;
        }
        match delta {
            Delta::Text(text) => self.say(choice, text, out),
            Delta::Citation(_) => self.cited(choice),
            _ => {}
        }
    }

    fn cited(&mut self, choice: u32) {
        if !std::mem::replace(&mut self.choice(choice).cited, true) {
            self.losses.add("", LossKind::Dropped, "citations: a text completion has none");
        }
    }

    fn say(&mut self, choice: u32, text: &str, out: &mut String) {
        if !text.is_empty() {
            self.emit(choice, text, |o| o.null("logprobs"), None, out);
        }
    }

    fn end(&mut self, out: &mut String) {
        self.closed = true;
        let spent = self.usage.take().filter(|_| self.include_usage);
        if spent.is_some() || !self.news.is_empty() {
            let chunk = self.chunk("[]", spent.as_ref());
            out.push_str(&write::sse_data(None, &chunk));
        }
        out.push_str("data: [DONE]\n\n");
    }

    fn emit(
        &mut self,
        choice: u32,
        text: &str,
        more: impl FnOnce(&mut Obj<'_>),
        finish: Option<&str>,
        out: &mut String,
    ) {
        let body = write::object(|o| {
            o.text("text", text);
            o.count("index", u64::from(choice));
            more(o);
            match finish {
                Some(word) => o.text("finish_reason", word),
                None => o.null("finish_reason"),
            }
        });
        let chunk = self.chunk(&format!("[{body}]"), None);
        out.push_str(&write::sse_data(None, &chunk));
    }

    /// A chunk. Members beside OpenAI's are told once, and again when they change.
    fn chunk(&mut self, choices: &str, spent: Option<&Spent>) -> String {
        // Every chunk has the same id, whoever gave it.
        let known = id(&self.head, &mut self.reply);
        self.head.id = Some(known);
        let news = std::mem::take(&mut self.news);
        write::object(|o| {
            head(o, &self.head, &mut self.reply);
            o.raw("choices", choices);
            match spent {
                Some(spent) => openai_chat::write_usage(o, spent, self.cost.as_deref()),
                None if self.include_usage => o.null("usage"),
                None => {}
            }
            o.extra(&news, CHAT);
        })
    }
}
