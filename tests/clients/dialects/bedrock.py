"""Bedrock: `Converse`, `ConverseStream` and Titan's embeddings through `InvokeModel`, with an API key as bearer."""

import base64
import re

from script import CACHE_READ, CACHE_WRITE, INPUT, OUTPUT, VECTOR
from script import Answer, Asked, Call, Refusal, Text, Thought, halves, perform, refuse_unknown, seal, words
from wire import Json, Stream, amazon_event

MEMBERS = """messages system inferenceConfig toolConfig additionalModelRequestFields additionalModelResponseFieldPaths
guardrailConfig performanceConfig serviceTier outputConfig requestMetadata promptVariables""".split()
STOP = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refusal": "content_filtered"}
ERRORS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
USAGE = {
    "inputTokens": INPUT - CACHE_READ - CACHE_WRITE,
    "outputTokens": OUTPUT,
    "totalTokens": INPUT + OUTPUT,
    "cacheReadInputTokens": CACHE_READ,
    "cacheWriteInputTokens": CACHE_WRITE,
}
METRICS = {"latencyMs": 250}
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def key_of(headers):
    return headers.get("authorization", "").removeprefix("Bearer ")


def error(refusal):
    # A key that is not known is forbidden here.
    status = 403 if refusal.status == 401 else refusal.status
    kind = ERRORS.get(refusal.status, "InternalServerException")
    return Json({"message": refusal.message}, status, {"x-amzn-errortype": kind, "x-amzn-requestid": "scripted"})


def converse(body, **_):
    answer = perform(read(body))
    message = {"role": "assistant", "content": [block(part) for part in answer.parts]}
    return Json({"metrics": METRICS, "output": {"message": message}, "stopReason": STOP[answer.stop], "usage": USAGE})


def converse_stream(body, **_):
    answer = perform(read(body))
    return Stream(list(events(answer)), "application/vnd.amazon.eventstream", answer.end == "broken")


def read(body):
    refuse_unknown(body, MEMBERS, lambda name: f"Malformed input request: extraneous key [{name}] is not permitted")
    tools = (body.get("toolConfig") or {}).get("tools", [])
    if "toolConfig" in body and not tools:
        raise Refusal(400, "The value at toolConfig.tools is empty.")
    asked = Asked(tools=[tool["toolSpec"]["name"] for tool in tools if "toolSpec" in tool])
    extra = body.get("additionalModelRequestFields") or {}
    asked.thinks = (extra.get("thinking") or {"type": "disabled"})["type"] != "disabled"
    asked.instructions += [part["text"] for part in body.get("system") or [] if "text" in part]
    form = ((body.get("outputConfig") or {}).get("textFormat") or {}).get("structure") or {}
    asked.schema = {"text": form["jsonSchema"]["schema"]} if form else (extra.get("output_config") or {}).get("format")
    read_messages(asked, body["messages"], bool(tools))
    return asked


def read_messages(asked, messages, has_tools):
    if messages[0]["role"] != "user":
        raise Refusal(400, "A conversation must start with a user message. Try again with a conversation that starts so.")
    calls, turn, before = {}, None, None
    for said in messages:
        if said["role"] == before:
            raise Refusal(400, "A conversation must alternate between user and assistant roles.")
        before, blocks = said["role"], said["content"]
        check(blocks, has_tools)
        results = {part["toolResult"]["toolUseId"] for part in blocks if "toolResult" in part}
        if results != calls.keys():
            raise Refusal(400, "Expected toolResult blocks for the following Ids: " + ", ".join(calls))
        calls = {part["toolUse"]["toolUseId"]: part for part in blocks if "toolUse" in part}
        if before == "assistant":
            turn, asked.results = blocks, []
        else:
            read_user(asked, blocks)
    if asked.must_show_seal and "reasoningContent" not in turn[0]:
        raise Refusal(
            400,
            "The model returned the following errors: messages.1.content.0.type: Expected `thinking` or "
            "`redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start "
            "with a thinking block",
        )


def check(blocks, has_tools):
    for part in blocks:
        if not has_tools and ("toolUse" in part or "toolResult" in part):
            raise Refusal(400, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")
        if "toolUse" in part and not TOOL_ID.fullmatch(part["toolUse"]["toolUseId"]):
            raise Refusal(400, "toolUseId: must satisfy regular expression pattern: [a-zA-Z0-9_-]+")
        if "text" in part and not part["text"].strip():
            raise Refusal(400, "The text field in the ContentBlock object is blank.")
        thought = part.get("reasoningContent", {}).get("reasoningText")
        if thought and thought.get("signature") != seal("bedrock", thought["text"]):
            raise Refusal(400, "The model returned the following errors: Invalid `signature` in `thinking` block")


def read_user(asked, blocks):
    asked.texts += [part["text"] for part in blocks if "text" in part]
    for part in blocks:
        if "toolResult" in part:
            asked.results.append(" ".join(said["text"] for said in part["toolResult"]["content"] if "text" in said))
    images = [part["image"] for part in blocks if "image" in part]
    asked.images = [(f"image/{one['format']}", base64.b64decode(one["source"]["bytes"])) for one in images]


def block(part):
    if isinstance(part, Thought):
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": seal("bedrock", part.text)}}}
    if isinstance(part, Call):
        return {"toolUse": {"toolUseId": f"tooluse_{part.id}", "name": part.name, "input": part.input}}
    return {"text": part.text}


def events(answer: Answer):
    yield amazon_event("messageStart", {"role": "assistant", "p": "abc"})
    for index, part in enumerate(answer.parts):
        at = {"contentBlockIndex": index}
        if isinstance(part, Call):
            head = {"toolUse": {"toolUseId": f"tooluse_{part.id}", "name": part.name}}
            yield amazon_event("contentBlockStart", at | {"start": head})
        for delta in deltas(part):
            yield amazon_event("contentBlockDelta", at | {"delta": delta, "p": "abcdefg"})
        if answer.end in ("cut", "broken"):
            return
        yield amazon_event("contentBlockStop", at)
    if answer.end == "failed":
        yield amazon_event("modelStreamErrorException", {"message": "the model failed"}, "exception")
        return
    yield amazon_event("messageStop", {"stopReason": STOP[answer.stop]})
    yield amazon_event("metadata", {"usage": USAGE, "metrics": METRICS})


def deltas(part):
    if isinstance(part, Thought):
        for word in words(part.text):
            yield {"reasoningContent": {"text": word}}
        yield {"reasoningContent": {"signature": seal("bedrock", part.text)}}
    elif isinstance(part, Text):
        for word in words(part.text):
            yield {"text": word}
    else:
        for piece in ["", *halves(part.arguments)]:
            yield {"toolUse": {"input": piece}}


def invoke(body, **_):
    return Json({"embedding": VECTOR, "inputTextTokenCount": 3}) if body["inputText"] else error(Refusal(400, "empty"))


ROUTES = [
    (re.compile(r"/model/(?P<model>.+)/converse$"), converse),
    (re.compile(r"/model/(?P<model>.+)/converse-stream$"), converse_stream),
    (re.compile(r"/model/(?P<model>.+)/invoke$"), invoke),
]
