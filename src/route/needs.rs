//! What a request needs of a model, and what a model lacks. Pure: facts in, words out.

use weir_wire::hub::{Part, PartKind, Request, Source};

use crate::snapshot::Target;

/// What a request needs of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// It gives tools.
    pub tools: bool,
    /// It shows images.
    pub images: bool,
    /// It has files to read.
    pub documents: bool,
    /// It has sound to hear.
    pub audio: bool,
    /// It has films to see.
    pub video: bool,
    /// Its prompt has at least so many tokens, where they were counted.
    pub tokens: Option<u64>,
}

impl Needs {
    /// What this request needs, its length left aside.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let mut needs = Self { tools: !request.tools.is_empty(), ..Self::default() };
        request.turns.iter().flat_map(|turn| &turn.parts).for_each(|part| needs.part(part));
        needs
    }

    fn part(&mut self, part: &Part) {
        match &part.kind {
            PartKind::Image(_) => self.images = true,
            PartKind::Audio(media) => self.audio |= !matches!(media.source, Source::File(_)),
            PartKind::Video(_) => self.video = true,
            PartKind::Document(document) => self.documents |= !matches!(document.media.source, Source::Plain(_)),
            PartKind::ToolResult(result) => result.parts.iter().for_each(|part| self.part(part)),
            _ => {}
        }
    }

    /// What the target lacks, in words; empty when it can serve the request, as far as anybody knows.
    #[must_use]
    pub fn lacking(&self, target: &Target) -> Vec<String> {
        let can = &target.capabilities;
        let mut lacks: Vec<String> = [
            (self.tools && !can.tools, "tools"),
            (self.images && !can.images, "images"),
            (self.documents && !can.documents, "files"),
            (self.audio && !can.audio, "audio"),
            (self.video && !can.video, "video"),
        ]
        .iter()
        .filter(|(lacks, _)| *lacks)
        .map(|(_, what)| (*what).to_owned())
        .collect();
        if let (Some(tokens), Some(window)) = (self.tokens, window(target))
            && tokens > window
        {
            lacks.push(format!("a prompt of {tokens} tokens (it takes {window})"));
        }
        lacks
    }
}

/// The most tokens of a prompt, where the catalogue knows.
#[must_use]
pub fn window(target: &Target) -> Option<u64> {
    let info = target.info.as_ref()?;
    info.max_input.or(info.context_window)
}
