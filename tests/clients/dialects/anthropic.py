"""Anthropic messages: whole, streamed, and the count of tokens."""

import base64
import re

from script import CACHE_READ, CACHE_WRITE, INPUT, OUTPUT, REASONING, WHAT_COUNTS_SAY
from script import Answer, Asked, Call, Refusal, Text, Thought, halves, perform, refuse_unknown, seal, words
from wire import Json, Stream, event

PARAMETERS = """cache_control container context_management diagnostics inference_geo max_tokens mcp_servers messages metadata
model output_config output_format service_tier speed stop_sequences stream system temperature thinking tool_choice tools top_k
top_p""".split()
STOP = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refusal": "refusal"}
ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
USAGE = {
    "input_tokens": INPUT - CACHE_READ - CACHE_WRITE,
    "cache_creation_input_tokens": CACHE_WRITE,
    "cache_read_input_tokens": CACHE_READ,
    "cache_creation": {"ephemeral_5m_input_tokens": CACHE_WRITE, "ephemeral_1h_input_tokens": 0},
    "output_tokens": OUTPUT,
    "output_tokens_details": {"thinking_tokens": REASONING},
    "service_tier": "standard",
}


def key_of(headers):
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


def error(refusal):
    kind = ERRORS.get(refusal.status, "api_error")
    body = {"type": "error", "error": {"type": kind, "message": refusal.message}, "request_id": "req_scripted"}
    return Json(body, refusal.status, {"request-id": "req_scripted"})


def create(body, headers, **_):
    if "max_tokens" not in body:
        raise Refusal(400, "max_tokens: Field required")
    answer = perform(read(body, headers))
    if body.get("stream"):
        return Stream(list(events(body, answer)), broken=answer.end == "broken")
    return Json(message(body, [block(part) for part in answer.parts], STOP[answer.stop], USAGE))


def count(body, headers, **_):
    read(body, headers)
    return Json({"input_tokens": WHAT_COUNTS_SAY})


def read(body, headers):
    if "anthropic-version" not in headers:
        raise Refusal(400, "anthropic-version: header is required")
    refuse_unknown(body, PARAMETERS, lambda name: f"{name}: Extra inputs are not permitted")
    thinking = body.get("thinking") or {"type": "disabled"}
    check_thinking(body, thinking)
    asked = Asked(tools=[tool["name"] for tool in body.get("tools") or []], thinks=thinking["type"] != "disabled")
    asked.instructions += texts(body.get("system") or [])
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    asked.schema = form.get("schema")
    read_messages(asked, body["messages"])
    return asked


def check_thinking(body, thinking):
    """What goes with thinking, and what does not."""
    if thinking["type"] == "disabled":
        return
    if thinking["type"] == "enabled" and thinking["budget_tokens"] < 1024:
        raise Refusal(400, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if thinking.get("budget_tokens", 0) >= body.get("max_tokens", 1 << 40):
        raise Refusal(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("temperature", 1) != 1:
        raise Refusal(400, "`temperature` may only be set to 1 when thinking is enabled.")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise Refusal(400, "Thinking may not be enabled when tool_choice forces tool use.")


def read_messages(asked, messages):
    calls, opening = {}, None
    for index, said in enumerate(messages):
        blocks = parts(said["content"])
        for at, part in enumerate(blocks):
            check(part, f"messages.{index}.content.{at}")
        results = [part["tool_use_id"] for part in blocks if part["type"] == "tool_result"]
        if calls.keys() - set(results):
            raise Refusal(
                400,
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                + ", ".join(calls.keys() - set(results)),
            )
        if set(results) - calls.keys():
            raise Refusal(400, f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks")
        calls = {part["id"]: part for part in blocks if part["type"] == "tool_use"}
        if said["role"] == "assistant":
            opening, asked.results = (index, blocks[0]["type"]), []
        elif said["role"] == "system":
            asked.instructions += texts(blocks)
        else:
            read_user(asked, blocks)
    if asked.must_show_seal and opening[1] not in ("thinking", "redacted_thinking"):
        raise Refusal(
            400,
            f"messages.{opening[0]}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{opening[1]}`. "
            "When `thinking` is enabled, a final `assistant` message must start with a thinking block",
        )


def check(part, place):
    if part["type"] == "text" and not part["text"].strip():
        raise Refusal(400, f"{place}: text content blocks must contain non-whitespace text")
    if part["type"] == "thinking" and part["signature"] != seal("anthropic", part["thinking"]):
        raise Refusal(400, f"{place}: Invalid `signature` in `thinking` block")
    if part["type"] == "tool_use" and not isinstance(part["input"], dict):
        raise Refusal(400, f"{place}.input: Input should be a valid dictionary")


def read_user(asked, blocks):
    asked.texts += texts(blocks)
    asked.results += [" ".join(texts(part.get("content", []))) for part in blocks if part["type"] == "tool_result"]
    sources = [part["source"] for part in blocks if part["type"] == "image"]
    asked.images = [(source["media_type"], base64.b64decode(source["data"], validate=True)) for source in sources]


def parts(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def texts(content):
    return [part["text"] for part in parts(content) if part["type"] == "text"]


def block(part):
    if isinstance(part, Thought):
        return {"type": "thinking", "thinking": part.text, "signature": seal("anthropic", part.text)}
    if isinstance(part, Call):
        return {"type": "tool_use", "id": f"toolu_{part.id}", "name": part.name, "input": part.input}
    return {"type": "text", "text": part.text}


def message(body, content, stop, usage):
    head = {"id": "msg_scripted", "type": "message", "role": "assistant", "model": body["model"], "content": content}
    return head | {"stop_reason": stop, "stop_sequence": None, "stop_details": None, "usage": usage}


def events(body, answer: Answer):
    for data in story(body, answer):
        yield event(data, data["type"])


def story(body, answer: Answer):
    yield {"type": "message_start", "message": message(body, [], None, USAGE | {"output_tokens": 1})}
    for index, part in enumerate(answer.parts):
        yield {"type": "content_block_start", "index": index, "content_block": shell(part)}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas(part):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        if answer.end in ("cut", "broken"):
            return
        yield {"type": "content_block_stop", "index": index}
    if answer.end == "failed":
        yield error(Refusal(529, "the model failed")).value
        return
    stop = {"stop_reason": STOP[answer.stop], "stop_sequence": None, "stop_details": None}
    yield {"type": "message_delta", "delta": stop, "usage": USAGE}
    yield {"type": "message_stop"}


def shell(part):
    empty = {"thinking": "", "signature": "", "text": "", "input": {}}
    return {name: empty.get(name, value) for name, value in block(part).items()}


def deltas(part):
    if isinstance(part, Thought):
        for word in words(part.text):
            yield {"type": "thinking_delta", "thinking": word}
        yield {"type": "signature_delta", "signature": seal("anthropic", part.text)}
    elif isinstance(part, Text):
        for word in words(part.text):
            yield {"type": "text_delta", "text": word}
    else:
        for piece in ["", *halves(part.arguments)]:
            yield {"type": "input_json_delta", "partial_json": piece}


ROUTES = [(re.compile(r"/messages/count_tokens$"), count), (re.compile(r"/messages$"), create)]
