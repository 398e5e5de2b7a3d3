//! The parameters of a request, read.

use super::form::{BEDROCK, EFFORT, bit_if, form, open, shut};
use crate::hub::{
    DecodeError, Effort, Extra, Fields, Format, Json, Mode, Native, Node, Params, Place, Reasoning, Schema, Tier,
};
use crate::json::Kind;

/// Takes the parameters. Members within that are not understood are put into `left`.
pub(super) fn take(fields: &mut Fields<'_>, left: &mut Vec<(String, Json)>) -> Result<Params, DecodeError> {
    let mut params = Params::default();
    if let Some(mut config) = open(fields, "inferenceConfig")? {
        params.max_output = config.num("maxTokens")?;
        params.temperature = config.num("temperature")?;
        params.top_p = config.num("topP")?;
        params.stop = words(&mut config)?;
        shut("inferenceConfig", config, left);
    }
    if let Some(mut config) = open(fields, "outputConfig")? {
        params.reasoning.effort = config.word("effort")?.map(|word| Effort::from_word(&word));
        params.form = form(bit_if(params.reasoning.effort.is_some(), EFFORT));
        params.format = config.take_kind("textFormat", Kind::Object)?.map(format).transpose()?;
        shut("outputConfig", config, left);
    }
    params.tier = tier(fields)?;
    params.metadata = fields.take_kind("requestMetadata", Kind::Object)?.map(Node::json);
    additional(fields, &mut params)?;
    Ok(params)
}

fn words(config: &mut Fields<'_>) -> Result<Vec<String>, DecodeError> {
    let word = |(at, node): (Place, Node<'_>)| {
        let text = node.text().map(std::borrow::Cow::into_owned);
        text.ok_or_else(|| DecodeError::new(at.as_str(), format!("expected a string, found {}", node.kind.name())))
    };
    config.list("stopSequences")?.into_iter().map(word).collect()
}

/// Takes `serviceTier` if it is but a word.
pub(super) fn tier(fields: &mut Fields<'_>) -> Result<Option<Tier>, DecodeError> {
    let Some(node) = fields.peek("serviceTier").filter(|node| node.kind == Kind::Object) else { return Ok(None) };
    let mut inner = node.fields(fields.at().member("serviceTier"))?;
    let word = inner.word("type")?.filter(|_| inner.is_empty());
    if word.is_some() {
        fields.take("serviceTier");
    }
    Ok(word.map(|word| Tier::from_word(&word)))
}

/// A schema, which is a string here; what is anything else is kept as it is.
fn format(node: Node<'_>) -> Result<Format, DecodeError> {
    let opaque = Format::Opaque(Native { dialect: BEDROCK, json: node.json() });
    let mut outer = node.fields(Place::root().member("outputConfig").member("textFormat"))?;
    let is_schema = outer.text("type")?.as_deref() == Some("json_schema");
    let Some(mut structure) = outer.object("structure")?.filter(|_| is_schema && outer.is_empty()) else {
        return Ok(opaque);
    };
    let Some(mut inner) = structure.object("jsonSchema")?.filter(|_| structure.is_empty()) else {
        return Ok(opaque);
    };
    let Some(text) = inner.text("schema")? else { return Ok(opaque) };
    let parsed = Json::parse(&text).ok().filter(|json| json.as_str() == text && json.kind() == Kind::Object);
    let Some(schema) = parsed else { return Ok(opaque) };
    Ok(Format::JsonSchema(Schema {
        name: inner.text("name")?,
        description: inner.text("description")?,
        schema: Some(schema),
        strict: None,
        extra: inner.rest(BEDROCK),
    }))
}

/// What is understood of the fields for the model alone. They stay in the extra, whole: other
/// dialects' encoders report them, and this one's writes them again.
fn additional(fields: &Fields<'_>, params: &mut Params) -> Result<(), DecodeError> {
    let Some(node) = fields.peek("additionalModelRequestFields").filter(|node| node.kind == Kind::Object) else {
        return Ok(());
    };
    // Read as loosely as an answer: what is of no known kind is the model's affair.
    let Ok(loose) = Node::of_body(node.raw.as_bytes(), Mode::Answer) else { return Ok(()) };
    let mut inner = loose.fields(Place::root())?;
    params.top_k = inner.num("top_k")?;
    let Reasoning { effort, budget, enabled, .. } = &mut params.reasoning;
    if let Some(mut thinking) = inner.object("thinking")? {
        *budget = thinking.num("budget_tokens")?;
        *enabled = thinking.text("type")?.map(|word| word != "disabled");
    }
    let mut word = inner.word("reasoning_effort")?;
    if let Some(mut config) = inner.object("output_config")? {
        word = word.or(config.word("effort")?);
    }
    if effort.is_none() {
        *effort = word.map(|word| Effort::from_word(&word));
    }
    Ok(())
}

/// Whether the request brought fields for the model alone, which say all there is to say.
pub(super) fn has_additional(extra: &Extra) -> bool {
    extra.get(BEDROCK, "additionalModelRequestFields").is_some()
}
