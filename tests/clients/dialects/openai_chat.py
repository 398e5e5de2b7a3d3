"""OpenAI chat completions and embeddings."""

import base64
import re
import struct

from script import CACHE_READ, CACHE_WRITE, CREATED, INPUT, OUTPUT, REASONING, VECTOR
from script import Answer, Asked, Call, Refusal, Text, data_url, halves, perform, refuse_unknown, words
from wire import Json, Stream, event

PARAMETERS = """audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages
metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options
prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options
temperature tool_choice tools top_logprobs top_p user verbosity web_search_options""".split()
FINISH = {"end": "stop", "tools": "tool_calls", "length": "length", "refusal": "content_filter"}
ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("tokens", "rate_limit_exceeded"),
}
USAGE = {
    "prompt_tokens": INPUT,
    "completion_tokens": OUTPUT,
    "total_tokens": INPUT + OUTPUT,
    "prompt_tokens_details": {"cached_tokens": CACHE_READ, "cache_write_tokens": CACHE_WRITE, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": REASONING,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def key_of(headers):
    return headers.get("authorization", "").removeprefix("Bearer ")


def error(refusal):
    kind, code = ERRORS.get(refusal.status, ("server_error", None))
    body = {"error": {"message": refusal.message, "type": kind, "param": None, "code": code}}
    return Json(body, refusal.status, {"x-request-id": "req_scripted"})


def complete(body, **_):
    asked = read(body)
    answer = perform(asked)
    if not body.get("stream"):
        choice = {"index": 0, "message": message(answer), "logprobs": None, "finish_reason": FINISH[answer.stop]}
        return Json(envelope(body, "chat.completion", [choice]) | {"usage": USAGE})
    pieces = list(chunks(body, answer))
    return Stream(pieces, broken=answer.end == "broken")


def read(body):
    refuse_unknown(body, PARAMETERS, lambda name: f"Unknown parameter: '{name}'.")
    asked = Asked(tools=[tool["function"]["name"] for tool in body.get("tools", [])])
    form = body.get("response_format") or {}
    asked.schema = form["json_schema"]["schema"] if form.get("type") == "json_schema" else None
    open_calls = {}
    for said in body["messages"]:
        if said["role"] == "tool":
            result(asked, said, open_calls)
            continue
        if open_calls:
            raise Refusal(
                400,
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
            )
        open_calls = take_message(asked, said)
    return asked


def result(asked, said, open_calls):
    if open_calls.pop(said["tool_call_id"], None) is None:
        raise Refusal(400, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.")
    asked.results.append("".join(texts(said["content"])))


def take_message(asked, said):
    """Reads a message that is no tool's; the calls in it that wait for results."""
    role, content = said["role"], said.get("content")
    asked.results = []
    if role in ("system", "developer"):
        asked.instructions += texts(content)
    elif role == "user":
        asked.texts += texts(content)
        asked.images = [data_url(part["image_url"]["url"]) for part in parts(content) if part["type"] == "image_url"]
    elif role == "assistant":
        if content is None and not said.get("tool_calls") and not said.get("refusal"):
            raise Refusal(400, "Invalid value for 'content': expected a string, got null.")
        return {call["id"]: call for call in said.get("tool_calls") or []}
    else:
        raise Refusal(400, f"Invalid value: '{role}'.")
    return {}


def parts(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def texts(content):
    return [part["text"] for part in parts(content) if part["type"] == "text"]


def message(answer: Answer):
    said = {"role": "assistant", "content": answer.text or None, "refusal": None, "annotations": []}
    if calls := answer.of(Call):
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in calls
        ]
    return said


def chunks(body, answer: Answer):
    wants_usage = (body.get("stream_options") or {}).get("include_usage")

    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if wants_usage else {}
        return event(envelope(body, "chat.completion.chunk", [choice]) | usage)

    yield chunk({"role": "assistant", "content": "" if answer.of(Text) else None, "refusal": None})
    for word in words(answer.text):
        yield chunk({"content": word})
    yield from call_chunks(answer.of(Call), chunk)
    if answer.end == "failed":
        yield event(error(Refusal(500, "the model failed")).value)
    if answer.end != "whole":
        return
    yield chunk({}, FINISH[answer.stop])
    if wants_usage:
        yield event(envelope(body, "chat.completion.chunk", []) | {"usage": USAGE})
    yield event("[DONE]")


def call_chunks(calls, chunk):
    """All heads, then the arguments of all calls in turn: parallel calls interleave."""
    for index, call in enumerate(calls):
        head = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield chunk({"tool_calls": [{"index": index} | head]})
    pieces = [halves(call.arguments or "{}") for call in calls]
    for turn in range(2):
        for index, texts_of_call in enumerate(pieces):
            if turn < len(texts_of_call):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": texts_of_call[turn]}}]})


def envelope(body, kind, choices):
    head = {"id": "chatcmpl-scripted", "object": kind, "created": CREATED, "model": body["model"]}
    return head | {"choices": choices, "service_tier": "default", "system_fingerprint": "fp_scripted"}


def embed(body, **_):
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    packed = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
    vector = packed if body.get("encoding_format") == "base64" else VECTOR
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(inputs))]
    usage = {"prompt_tokens": 3 * len(inputs), "total_tokens": 3 * len(inputs)}
    return Json({"object": "list", "data": data, "model": body["model"], "usage": usage})


ROUTES = [(re.compile(r"/chat/completions$"), complete), (re.compile(r"/embeddings$"), embed)]
