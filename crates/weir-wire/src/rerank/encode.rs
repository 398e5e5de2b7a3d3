//! A request, written for a provider.

use super::{Api, Document, Request};
use crate::hub::loss::MAX_LOSSES;
use crate::hub::write::{self, Arr, Obj};
use crate::hub::{Dialect, Encoded, Loss, LossKind};

/// Writes a request for a provider of this form.
#[must_use]
pub fn encode_request(request: &Request, api: Api, model: &str) -> Encoded {
    let mut losses = Vec::new();
    let body = write::object(|o| {
        if api != Api::Tei && !model.is_empty() {
            o.text("model", model);
        }
        o.text("query", &request.query);
        let name = if api == Api::Tei { "texts" } else { "documents" };
        o.array(name, |a| documents(a, request, api, &mut losses));
        match api {
            Api::Cohere => cohere(o, request),
            Api::Jina => {
                o.opt_num("top_n", request.top_n.as_ref());
                // It sends them back when nothing is said.
                o.flag("return_documents", false);
            }
            Api::Voyage => o.opt_num("top_k", request.top_n.as_ref()),
            Api::Tei => {}
        }
    });
    if api != Api::Cohere {
        unsaid(request, &mut losses);
    }
    Encoded { body, losses }
}

fn cohere(o: &mut Obj<'_>, request: &Request) {
    o.opt_num("top_n", request.top_n.as_ref());
    o.extra(&request.extra, Dialect::Cohere);
}

/// The documents. Only Jina takes objects, and of those with more than a text all take the text of
/// the object itself: what is to be ranked by is for the provider's model to find in it.
fn documents(a: &mut Arr<'_>, request: &Request, api: Api, losses: &mut Vec<Loss>) {
    for (index, document) in request.documents.iter().enumerate() {
        match document {
            Document::Text(text) => a.text(text),
            Document::Object(json, _) if api == Api::Jina => a.raw(json.as_str()),
            Document::Object(json, text) => {
                let alone = json.to_value().as_object().is_some_and(|members| members.len() == 1);
                match text.as_ref().filter(|_| alone) {
                    Some(text) => a.text(text),
                    None => {
                        let why = "the provider takes texts: the object was said as its JSON";
                        add(losses, format!("documents[{index}]"), LossKind::Approximated, why);
                        a.text(json.as_str());
                    }
                }
            }
        }
    }
}

fn unsaid(request: &Request, losses: &mut Vec<Loss>) {
    for (name, _) in request.extra.members().iter().filter(|(_, value)| !value.is_empty()) {
        add(losses, name.clone(), LossKind::Dropped, "unknown to the provider's form");
    }
}

fn add(losses: &mut Vec<Loss>, field: String, what: LossKind, why: &str) {
    if losses.len() < MAX_LOSSES {
        losses.push(Loss { field, what, why: why.to_owned() });
    }
}
