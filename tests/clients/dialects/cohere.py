"""Cohere, version 2: chat, embed, rerank."""

import re

from script import CACHE_READ, INPUT, OUTPUT, VECTOR
from script import Answer, Asked, Call, Refusal, Text, Thought, data_url, halves, perform, refuse_unknown, words
from wire import Json, Stream, event

PARAMETERS = """citation_options documents frequency_penalty k logprobs max_tokens messages model p presence_penalty priority
raw_prompting response_format safety_mode seed stop_sequences stream strict_tools temperature thinking tool_choice
tools""".split()
FINISH = {"end": "COMPLETE", "tools": "TOOL_CALL", "length": "MAX_TOKENS", "refusal": "ERROR"}
# What is billed counts; the model saw more, most of it the provider's own words.
USAGE = {
    "billed_units": {"input_tokens": INPUT, "output_tokens": OUTPUT},
    "tokens": {"input_tokens": INPUT + 400, "output_tokens": OUTPUT + 20},
    "cached_tokens": CACHE_READ + 300,
}


def key_of(headers):
    return headers.get("authorization", "").removeprefix("Bearer ")


def error(refusal):
    return Json({"id": "scripted", "message": refusal.message}, refusal.status)


def chat(body, **_):
    answer = perform(read(body))
    if body.get("stream"):
        return Stream(list(events(answer)), "text/event-stream", answer.end == "broken")
    said = {"role": "assistant"}
    said |= {"content": [content(part) for part in answer.parts if not isinstance(part, Call)]} if answer.text else {}
    said |= {"tool_calls": [call(part) for part in answer.of(Call)]} if answer.of(Call) else {}
    return Json({"id": "scripted", "finish_reason": FINISH[answer.stop], "message": said, "usage": USAGE})


def read(body):
    refuse_unknown(body, PARAMETERS, lambda name: f"unknown field: parameter '{name}' is not a valid field")
    asked = Asked(tools=[tool["function"]["name"] for tool in body.get("tools") or []])
    form = body.get("response_format") or {}
    asked.schema = form.get("json_schema") or form.get("schema")
    asked.thinks = (body.get("thinking") or {}).get("type") != "disabled"
    calls = set()
    for said in body["messages"]:
        parts = said.get("content") or []
        parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
        if said["role"] == "tool":
            read_result(asked, said, parts, calls)
            continue
        asked.results = []
        texts = [part["text"] for part in parts if part["type"] == "text"]
        if said["role"] == "system":
            asked.instructions += texts
        elif said["role"] == "user":
            asked.texts += texts
            urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
            asked.images = [data_url(url) for url in urls]
        elif said["role"] == "assistant":
            calls |= {one["id"] for one in said.get("tool_calls") or []}
        else:
            raise Refusal(400, f"invalid request: message role {said['role']!r} is not valid")
    return asked


def read_result(asked, said, parts, calls):
    if said["tool_call_id"] not in calls:
        raise Refusal(400, f"tool call id not found in previous tool calls: {said['tool_call_id']}")
    texts = [part["text"] if part["type"] == "text" else part["document"]["data"] for part in parts]
    asked.results.append("".join(text if isinstance(text, str) else " ".join(map(str, text.values())) for text in texts))


def content(part):
    kind = "thinking" if isinstance(part, Thought) else "text"
    return {"type": kind, kind: part.text}


def call(part):
    function = {"name": part.name, "arguments": part.arguments or "{}"}
    return {"id": f"{part.name}_{part.id}", "type": "function", "function": function}


def events(answer: Answer):
    for data in story(answer):
        yield event(data, data["type"])


def story(answer: Answer):
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield {"id": "scripted", "type": "message-start", "delta": {"message": empty}}
    for index, part in enumerate(part for part in answer.parts if not isinstance(part, Call)):
        yield from tell_content(index, part)
    if answer.end in ("cut", "broken"):
        return
    for index, part in enumerate(answer.of(Call)):
        yield from tell_call(index, part)
    finish = "ERROR" if answer.end == "failed" else FINISH[answer.stop]
    delta = {"finish_reason": finish, "usage": USAGE} | ({"error": "the model failed"} if finish == "ERROR" else {})
    yield {"type": "message-end", "id": "scripted", "delta": delta}


def tell_content(index, part):
    kind = "thinking" if isinstance(part, Thought) else "text"
    start = {"message": {"content": {"type": kind, kind: ""}}}
    yield {"type": "content-start", "index": index, "delta": start}
    for word in words(part.text):
        yield {"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: word}}}}
    yield {"type": "content-end", "index": index}


def tell_call(index, part):
    whole = call(part)
    head = whole | {"function": {"name": part.name, "arguments": ""}}
    yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": head}}}
    for piece in halves(whole["function"]["arguments"]):
        function = {"function": {"arguments": piece}}
        yield {"type": "tool-call-delta", "index": index, "delta": {"message": {"tool_calls": function}}}
    yield {"type": "tool-call-end", "index": index}


def embed(body, **_):
    texts = body.get("texts") or [one["content"][0]["text"] for one in body["inputs"]]
    if "input_type" not in body:
        raise Refusal(400, "invalid request: input_type is required")
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3 * len(texts)}}
    vectors = {"float": [VECTOR for _ in texts]}
    return Json({"id": "scripted", "embeddings": vectors, "texts": texts, "meta": meta, "response_type": "embeddings_by_type"})


def rerank(body, **_):
    last = len(body["documents"]) - 1
    results = [{"index": last - index, "relevance_score": 0.9 - index / 10} for index in range(last + 1)]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return Json({"id": "scripted", "results": results[: body.get("top_n", last + 1)], "meta": meta})


ROUTES = [
    (re.compile(r"/chat$"), chat),
    (re.compile(r"/embed$"), embed),
    (re.compile(r"/rerank$"), rerank),
]
