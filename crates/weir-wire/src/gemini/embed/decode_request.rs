//! A request to `:embedContent` or `:batchEmbedContents`, read.

use crate::embed::{Input, Purpose, Request};
use crate::gemini::form::GEMINI;
use crate::gemini::names::name_of;
use crate::hub::{DecodeError, Extra, Fields, Json, Mode, Node, Num, Place};
use crate::json::Kind;

/// Reads a request: one content, or, in `requests`, several, which must agree on the model, the task
/// and the dimensions. The model is empty unless the body names it.
///
/// A content is one text here. Members beside these are kept for providers of the same dialect, under
/// their place in the body (`requests[1].title`); `taskType` under its name.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    if fields.peek("requests").is_none() {
        let only = one(fields)?;
        return Ok(Request { single: true, ..request(vec![only])? });
    }
    let items = fields.whole_list("requests")?;
    if items.is_empty() {
        return Err(fields.error("requests", "empty, send at least one request"));
    }
    let model = fields.word("model")?;
    let beside = fields.rest(GEMINI);
    let all = items.into_iter().map(|(at, node)| one(node.fields(at)?)).collect::<Result<Vec<_>, _>>()?;
    let mut request = request(all)?;
    if request.model.is_empty() {
        request.model = model.as_deref().map(plain).unwrap_or_default();
    }
    let mut members = request.extra.members().to_vec();
    members.extend(beside.members().iter().cloned());
    request.extra = Extra::new(GEMINI, members);
    Ok(request)
}

/// One content to embed, and what is said about it.
struct One {
    at: Place,
    text: String,
    model: Option<String>,
    task: Option<String>,
    dimensions: Option<Num>,
    rest: Vec<(String, Json)>,
}

fn one(mut fields: Fields<'_>) -> Result<One, DecodeError> {
    let at = fields.at().clone();
    let text = text(fields.require_object("content")?)?;
    let model = fields.word("model")?.map(|name| plain(&name));
    let task = fields.word(name_of(&fields, "taskType").0)?;
    let name = name_of(&fields, "outputDimensionality").0;
    let dimensions = fields.num(name)?;
    if dimensions.as_ref().is_some_and(|count| count.as_u64().is_none_or(|count| count == 0)) {
        return Err(fields.error(name, "expected a whole number of at least 1"));
    }
    let rest = fields.rest(GEMINI);
    let said = rest.members().iter().filter(|(_, value)| !value.is_empty());
    let rest = said.map(|(name, value)| (at.member(name).as_str().to_owned(), value.clone())).collect();
    Ok(One { at, text, model, task, dimensions, rest })
}

/// A model's name without the collection it is in.
fn plain(name: &str) -> String {
    name.strip_prefix("models/").unwrap_or(name).to_owned()
}

/// The text of a content. Its role says nothing here.
fn text(mut content: Fields<'_>) -> Result<String, DecodeError> {
    let (at, node) = match content.peek("parts") {
        Some(node) if node.kind == Kind::Object => (content.at().member("parts"), node),
        _ => {
            let parts = content.list("parts")?;
            match parts[..] {
                [(ref at, node)] => (at.clone(), node),
                [] => return Err(content.error("parts", "missing, expected a list of one text")),
                _ => {
                    let why = format!("{} parts: put them into one text, or send a request for each", parts.len());
                    return Err(content.error("parts", why));
                }
            }
        }
    };
    let mut part = node.fields(at)?;
    let Some(text) = part.text("text")? else {
        return Err(part.error("text", "missing: only text can be embedded here"));
    };
    Ok(text)
}

/// What all say together.
fn request(all: Vec<One>) -> Result<Request, DecodeError> {
    let mut agreed = Agreed::default();
    let mut request = Request::default();
    let mut members = Vec::new();
    for (index, one) in all.into_iter().enumerate() {
        agreed.with(&one, index)?;
        request.inputs.push(Input::Text(one.text));
        members.extend(one.rest);
    }
    members.extend(agreed.task.as_ref().map(|word| ("taskType".to_owned(), Json::string(word))));
    request.model = agreed.model.unwrap_or_default();
    request.purpose = agreed.task.as_deref().and_then(Purpose::from_word);
    request.dimensions = agreed.dimensions;
    request.extra = Extra::new(GEMINI, members);
    Ok(request)
}

/// What the first says, which the others must say too.
#[derive(Default)]
struct Agreed {
    model: Option<String>,
    task: Option<String>,
    dimensions: Option<Num>,
}

impl Agreed {
    fn with(&mut self, one: &One, index: usize) -> Result<(), DecodeError> {
        if index == 0 {
            self.model.clone_from(&one.model);
            self.task.clone_from(&one.task);
            self.dimensions.clone_from(&one.dimensions);
        }
        let differ = [
            ("model", self.model != one.model),
            ("taskType", self.task != one.task),
            ("outputDimensionality", self.dimensions != one.dimensions),
        ];
        match differ.into_iter().find(|(_, differs)| *differs) {
            None => Ok(()),
            Some((name, _)) => {
                let why = format!("not that of requests[0]: send a batch for each {name}");
                Err(DecodeError::new(one.at.member(name).as_str(), why))
            }
        }
    }
}
