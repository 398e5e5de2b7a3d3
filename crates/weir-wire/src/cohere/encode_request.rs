//! A chat request, written.

use super::form::COHERE;
use super::{choice, definitions, documents, encode_params, messages};
use crate::hub::{CacheHint, Capabilities, EncodeError, Encoded, Field, LossKind, Losses, Place, Request, Target};
use crate::hub::{custom_tools, write};

/// Writes a request for a provider that speaks this dialect.
///
/// Of another dialect's requests, [`Request::link_results`] must have been called: a result without
/// the id of its call is refused.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, EncodeError> {
    let mut writing = Writing { losses: Losses::new(target.caller, COHERE), target };
    let request = &*custom_tools::as_functions(request, &mut writing.losses);
    let body = write::object(|o| {
        if !target.model.is_empty() {
            o.text("model", target.model);
        }
        messages::write(o, request, &mut writing);
        documents::write(o, request, &mut writing);
        if writing.capabilities().tools {
            let offered = choice::offered(request, &mut writing);
            definitions::write(o, &offered, &mut writing);
            choice::write(o, request, &mut writing);
            parallel(request, &mut writing);
        } else if !request.tools.is_empty() {
            writing.losses.refuse(Field::Tools.name(target.caller), "the model takes no tools");
        }
        encode_params::write(o, request, &mut writing);
        writing.losses.extra(&request.extra, &Place::root());
        o.extra(&request.extra, COHERE);
    });
    writing.losses.seal(body)
}

fn parallel(request: &Request, writing: &mut Writing<'_>) {
    if request.parallel_tools == Some(false) {
        let why = "models of this dialect cannot be kept from calling several tools at once";
        writing.losses.param(Field::ParallelTools, LossKind::Dropped, why);
    }
}

/// What an encoder needs at hand while it writes.
pub(super) struct Writing<'w> {
    pub(super) losses: Losses,
    pub(super) target: &'w Target<'w>,
}

impl Writing<'_> {
    pub(super) fn capabilities(&self) -> &Capabilities {
        self.target.capabilities
    }

    /// Whether what is written came in this dialect too, so that it is written as it was.
    pub(super) fn same(&self) -> bool {
        self.target.caller == COHERE
    }

    /// A cache hint, which this dialect has no word for.
    pub(super) fn no_cache(&mut self, hint: Option<&CacheHint>, at: &Place) {
        if hint.is_some() {
            self.losses.add(at.as_str(), LossKind::Dropped, "cache hint: the provider caches as it likes");
        }
    }
}
