"""OpenAI responses: whole, streamed, continued from a stored one, and its count of input tokens."""

import re
import uuid

from script import CACHE_READ, CACHE_WRITE, CREATED, INPUT, OUTPUT, REASONING, WHAT_COUNTS_SAY
from script import Answer, Asked, Call, Refusal, Text, Thought, data_url, halves, perform, refuse_unknown, seal, words
from openai_chat import error, key_of
from wire import Json, Stream, event

PARAMETERS = """background client_metadata context_management conversation include input instructions max_output_tokens
max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt prompt_cache_key
prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store stream stream_options temperature
text tool_choice tools top_logprobs top_p truncation user""".split()
REASONING_ID = "rs_scripted"
ENCRYPTED = "reasoning.encrypted_content"
USAGE = {
    "input_tokens": INPUT,
    "input_tokens_details": {"cached_tokens": CACHE_READ, "cache_write_tokens": CACHE_WRITE},
    "output_tokens": OUTPUT,
    "output_tokens_details": {"reasoning_tokens": REASONING},
    "total_tokens": INPUT + OUTPUT,
}
__all__ = ["ROUTES", "error", "key_of"]

# The items of stored conversations, by the id of the response that ends them; the newest are kept.
stored: dict[str, list] = {}
MOST_STORED = 1000


def respond(body, **_):
    conversation = items_of(body)
    answer = perform(read(body, conversation))
    identity = f"resp_{uuid.uuid4().hex}"
    items = output(body, answer)
    if body.get("store", True):
        # A stored thought is whole, whether or not its encrypted content was asked for.
        stored[identity] = conversation + output({"include": [ENCRYPTED]}, answer)
        while len(stored) > MOST_STORED:
            stored.pop(next(iter(stored)))
    final = response(identity, body, answer, items)
    if not body.get("stream"):
        return Json(final)
    return Stream(list(events(final, answer, items)), broken=answer.end == "broken")


def items_of(body):
    """The whole conversation: what is stored, then what was sent."""
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not (previous := body.get("previous_response_id")):
        return items
    if previous not in stored:
        raise Refusal(400, f"Previous response with id '{previous}' not found.")
    return stored[previous] + items


def count(body, **_):
    read(body, items_of(body))
    return Json({"object": "response.input_tokens", "input_tokens": WHAT_COUNTS_SAY})


def read(body, items):
    refuse_unknown(body, PARAMETERS, lambda name: f"Unknown parameter: '{name}'.")
    tools = [tool["name"] for tool in body.get("tools") or [] if tool["type"] in ("function", "custom")]
    # A model of this API always thinks; what it thought can be sent back only if it was asked for.
    asked = Asked(tools=tools, thinks=bool(body.get("reasoning")))
    form = (body.get("text") or {}).get("format") or {}
    asked.schema = form.get("schema")
    asked.instructions += [body["instructions"]] if body.get("instructions") else []
    calls, sealed = set(), False
    for item in items:
        sealed = read_item(asked, item, calls, sealed)
    if asked.must_show_seal and not sealed:
        raise Refusal(400, "Item of type 'function_call' was provided without its required 'reasoning' item.")
    return asked


def read_item(asked, item, calls, sealed):
    """Takes one item; whether a seal stands before the last call."""
    kind = item.get("type", "message")
    if kind == "message":
        read_message(asked, item)
        return sealed and item["role"] == "assistant"
    if kind == "reasoning":
        if item.get("encrypted_content") != seal("openai", REASONING_ID):
            raise Refusal(400, "The encrypted content could not be verified.")
        asked.results = []
        return True
    if kind in ("function_call", "custom_tool_call"):
        calls.add(item["call_id"])
        asked.results = []
    elif kind in ("function_call_output", "custom_tool_call_output"):
        if item["call_id"] not in calls:
            raise Refusal(400, f"No tool call found for function call output with call_id {item['call_id']}.")
        asked.results.append("".join(texts(item["output"])))
    return sealed


def read_message(asked, item):
    role = item["role"]
    asked.results = []
    if role in ("system", "developer"):
        asked.instructions += texts(item["content"])
    elif role == "user":
        asked.texts += texts(item["content"])
        images = [part for part in parts(item["content"]) if part["type"] == "input_image"]
        asked.images = [data_url(part["image_url"]) for part in images]
    elif any(part["type"] not in ("output_text", "refusal") for part in item["content"] if isinstance(part, dict)):
        raise Refusal(400, "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.")


def parts(content):
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


def texts(content):
    return [part["text"] for part in parts(content) if part["type"] in ("input_text", "text")]


def output(body, answer: Answer):
    """The items of the answer."""
    items = []
    for part in answer.parts:
        if isinstance(part, Thought):
            item = {"id": REASONING_ID, "type": "reasoning", "summary": [{"type": "summary_text", "text": part.text}]}
            hidden = {"encrypted_content": seal("openai", REASONING_ID)} if ENCRYPTED in body.get("include", []) else {}
            items.append(item | hidden)
        elif isinstance(part, Call):
            call = {"arguments": part.arguments or "{}", "call_id": part.id, "name": part.name}
            items.append({"id": f"fc_{part.id}", "type": "function_call", "status": "completed"} | call)
        elif isinstance(part, Text):
            content = [{"type": "output_text", "annotations": [], "logprobs": [], "text": part.text}]
            message = {"type": "message", "role": "assistant", "content": content}
            state = "completed" if answer.stop in ("end", "tools") else "incomplete"
            items.append({"id": "msg_scripted", "status": state} | message)
    return items


def response(identity, body, answer, items):
    reasons = {"length": "max_output_tokens", "refusal": "content_filter"}
    reason = reasons.get(answer.stop)
    return {
        "id": identity,
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if reason else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": body["model"],
        "output": items,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": USAGE,
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def events(final, answer, items):
    """The events in OpenAI's order, numbered."""
    for number, (kind, members) in enumerate(story(final, answer, items)):
        yield event({"type": kind, "sequence_number": number} | members, kind)


def story(final, answer, items):
    begun = final | {"status": "in_progress", "output": [], "incomplete_details": None, "usage": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(items):
        tell = {"reasoning": tell_reasoning, "function_call": tell_call, "message": tell_message}[item["type"]]
        yield from tell(index, item, answer.end != "whole")
    if answer.end == "failed":
        fault = {"code": "server_error", "message": "the model failed"}
        yield "response.failed", {"response": final | {"status": "failed", "error": fault}}
    elif answer.end == "whole":
        yield f"response.{final['status']}", {"response": final}


def tell_reasoning(index, item, _):
    at = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    text = item["summary"][0]["text"]
    yield "response.output_item.added", {"output_index": index, "item": item | {"summary": []}}
    yield "response.reasoning_summary_part.added", at | {"part": {"type": "summary_text", "text": ""}}
    for word in words(text):
        yield "response.reasoning_summary_text.delta", at | {"delta": word}
    yield "response.reasoning_summary_text.done", at | {"text": text}
    yield "response.reasoning_summary_part.done", at | {"part": {"type": "summary_text", "text": text}}
    yield "response.output_item.done", {"output_index": index, "item": item}


def tell_call(index, item, _):
    at = {"item_id": item["id"], "output_index": index}
    yield "response.output_item.added", {"output_index": index, "item": item | {"status": "in_progress", "arguments": ""}}
    for piece in halves(item["arguments"]):
        yield "response.function_call_arguments.delta", at | {"delta": piece}
    yield "response.function_call_arguments.done", at | {"arguments": item["arguments"], "name": item["name"]}
    yield "response.output_item.done", {"output_index": index, "item": item}


def tell_message(index, item, stops_short):
    at = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    begun = item | {"status": "in_progress", "content": []}
    yield "response.output_item.added", {"output_index": index, "item": begun}
    yield "response.content_part.added", at | {"part": part | {"text": ""}}
    for word in words(part["text"]):
        yield "response.output_text.delta", at | {"delta": word, "logprobs": []}
    if stops_short:
        return
    yield "response.output_text.done", at | {"text": part["text"], "logprobs": []}
    yield "response.content_part.done", at | {"part": part}
    yield "response.output_item.done", {"output_index": index, "item": item}


ROUTES = [(re.compile(r"/responses/input_tokens$"), count), (re.compile(r"/responses$"), respond)]
