//! What a model is there for, as far as anybody knows.

use super::Target;
use crate::catalog::Mode;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A conversation, in whatever dialect, or a text to continue.
    Conversation,
    /// Embeddings.
    Embeddings,
    /// Documents by relevance.
    Rerank,
}

impl Kind {
    /// What requests at an endpoint are about, by its name in rows; `None` for what is passed through.
    #[must_use]
    pub fn of_endpoint(endpoint: &str) -> Option<Self> {
        match endpoint {
            "chat/completions" | "completions" | "responses" | "messages" | "generateContent" => {
                Some(Self::Conversation)
            }
            "embeddings" | "embedContent" => Some(Self::Embeddings),
            "rerank" => Some(Self::Rerank),
            _ => None,
        }
    }

    /// Its name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conversation => "conversation",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
        }
    }
}

impl Target {
    /// Whether the model is there for such requests. One of which nobody knows what it is there for is taken for one
    /// to talk to.
    #[must_use]
    pub fn is_for(&self, kind: Kind) -> bool {
        let mode = self.info.as_ref().map(|info| info.mode);
        match kind {
            Kind::Conversation => !self.talks.is_empty() && matches!(mode, None | Some(Mode::Chat | Mode::Completion)),
            Kind::Embeddings => self.embeds.is_some() && mode == Some(Mode::Embedding),
            Kind::Rerank => self.reranks.is_some() && mode == Some(Mode::Rerank),
        }
    }
}
