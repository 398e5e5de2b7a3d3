//! Vectors, written for callers of this dialect.

use crate::embed::{Answer, Vector};
use crate::gemini::form::GEMINI;
use crate::hub::write::{self, Obj};
use crate::hub::{Dialect, Encoded, Losses, Place};

/// Writes the answer to `:embedContent` if the request was a `single` one, else to
/// `:batchEmbedContents`: decimals, in the order of the requests, and the tokens if they are known.
#[must_use]
pub fn encode_answer(answer: &Answer, single: bool) -> Encoded {
    let mut losses = Losses::new(answer.extra.dialect().unwrap_or(Dialect::OpenAiChat), GEMINI);
    losses.extra(&answer.extra, &Place::root());
    let body = write::object(|o| {
        if single {
            let vector = answer.items.first().map(|item| &item.vector);
            o.object("embedding", |o| values(o, vector));
        } else {
            o.array("embeddings", |a| {
                answer.items.iter().for_each(|item| a.object(|o| values(o, Some(&item.vector))));
            });
        }
        if let Some(spent) = &answer.usage {
            o.object("usageMetadata", |o| o.count("promptTokenCount", spent.tokens.input));
        }
    });
    for (index, item) in answer.items.iter().enumerate() {
        losses.extra(&item.extra, &Place::root().member("data").index(index));
    }
    losses.seal_answer(body)
}

fn values(o: &mut Obj<'_>, vector: Option<&Vector>) {
    o.raw("values", &vector.map_or_else(|| "[]".to_owned(), Vector::to_floats));
}
