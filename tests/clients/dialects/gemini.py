"""Gemini: `generateContent`, `streamGenerateContent`, `countTokens`, `embedContent`, `batchEmbedContents`."""

import base64
import json
import re

from script import CACHE_READ, INPUT, OUTPUT, REASONING, VECTOR, WHAT_COUNTS_SAY
from script import Answer, Asked, Call, Refusal, Text, Thought, perform, refuse_unknown, seal, words
from wire import Json, Stream, dumps, event

MEMBERS = """model contents tools toolConfig safetySettings systemInstruction generationConfig cachedContent labels serviceTier
store""".split()
CONFIG = """temperature topP topK candidateCount maxOutputTokens stopSequences presencePenalty frequencyPenalty seed
responseLogprobs logprobs responseMimeType responseSchema responseJsonSchema responseModalities speechConfig imageConfig
mediaResolution thinkingConfig enableEnhancedCivicAnswers""".split()
PART = """text thought thoughtSignature inlineData fileData functionCall functionResponse executableCode codeExecutionResult
videoMetadata""".split()
# Members whose value is the caller's own.
OPAQUE = ["args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels"]
# What the OpenAPI subset of `parameters` and `responseSchema` does not know.
NOT_IN_SCHEMA = ["$ref", "$defs", "$schema", "additionalProperties", "propertyNames", "patternProperties", "const"]
FINISH = {"end": "STOP", "tools": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
USAGE = {
    "promptTokenCount": INPUT,
    "cachedContentTokenCount": CACHE_READ,
    "candidatesTokenCount": OUTPUT - REASONING,
    "thoughtsTokenCount": REASONING,
    "totalTokenCount": INPUT + OUTPUT,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": INPUT}],
}


def key_of(headers):
    return headers.get("x-goog-api-key")


def error(refusal):
    # A key that is not known is a bad argument here.
    status = 400 if refusal.status == 401 else refusal.status
    fault = {"code": status, "message": refusal.message, "status": STATUS.get(status, "INTERNAL")}
    if status == 429:
        fault["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.010s"}]
    return Json({"error": fault}, status)


def generate(body, found, **_):
    body = camel(body)
    answer = perform(read(body))
    return Json(response(found["model"], parts_of(body, answer), FINISH[answer.stop]))


def stream(body, found, query, **_):
    body = camel(body)
    answer = perform(read(body))
    pieces = list(chunks(body, found["model"], answer))
    if query.get("alt") == ["sse"]:
        return Stream([event(piece) for piece in pieces], "text/event-stream", answer.end == "broken")
    joined = [("[" if index == 0 else ",\r\n") + dumps(piece) for index, piece in enumerate(pieces)]
    return Stream([piece.encode() for piece in [*joined, "]"]], "application/json", answer.end == "broken")


def count(body, **_):
    body = camel(body)
    given = body.get("generateContentRequest") or {"contents": body["contents"]}
    read(given)
    return Json({"totalTokens": WHAT_COUNTS_SAY, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": WHAT_COUNTS_SAY}]})


def camel(value):
    """Members by their JSON names: Google takes `mime_type` as well, and its Python SDK mixes both."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): one for name, one in value.items()}
    return {name: one if name in OPAQUE else camel(one) for name, one in named.items()}


def octets(text):
    """Bytes: Google takes both alphabets of base64, padded or not, and its Python SDK writes the one for URLs."""
    return base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "=" * (-len(text) % 4))


def read(body):
    unknown = 'Invalid JSON payload received. Unknown name "{}": Cannot find field.'.format
    refuse_unknown(body, MEMBERS, unknown)
    config = body.get("generationConfig") or {}
    refuse_unknown(config, CONFIG, unknown)
    asked = Asked(schema=config.get("responseJsonSchema") or config.get("responseSchema"))
    if asked.schema and config.get("responseMimeType") != "application/json":
        raise Refusal(400, "Setting a response schema requires the response mime type application/json")
    if len({"thinkingBudget", "thinkingLevel"} & (config.get("thinkingConfig") or {}).keys()) == 2:
        raise Refusal(400, "You can only set only one of thinking budget and thinking level.")
    # A call is sealed whether or not thoughts are shown, unless thinking is off.
    asked.thinks = (config.get("thinkingConfig") or {}).get("thinkingBudget") != 0
    for tool in body.get("tools") or []:
        for function in tool.get("functionDeclarations", []):
            asked.tools.append(function["name"])
            check_schema(function.get("parameters"))
    check_schema(config.get("responseSchema"))
    asked.instructions += [part["text"] for part in (body.get("systemInstruction") or {}).get("parts", [])]
    read_contents(asked, body["contents"], unknown)
    return asked


def check_schema(schema):
    text = dumps(schema)
    for word in NOT_IN_SCHEMA:
        if f'"{word}":' in text:
            raise Refusal(400, f'Invalid JSON payload received. Unknown name "{word}" at \'schema\': Cannot find field.')


def read_contents(asked, contents, unknown):
    calls = []
    for index, content in enumerate(contents):
        if content.get("role", "user") not in ("user", "model"):
            raise Refusal(400, "Please use a valid role: user, model.")
        parts = content["parts"]
        for part in parts:
            refuse_unknown(part, PART, unknown)
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if sorted(call["name"] for call in calls) != sorted(result["name"] for result in results):
            raise Refusal(
                400,
                "Please ensure that the number of function response parts is equal to the number of function call parts "
                "of the function call turn.",
            )
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        if content.get("role") == "model":
            asked.results = []
            check_seal(asked, parts, index)
        else:
            read_user(asked, parts, results)


def check_seal(asked, parts, index):
    """The first call of a step carries the signature it was made with."""
    calls = [part for part in parts if "functionCall" in part]
    if not asked.sealed or not calls:
        return
    call = calls[0]["functionCall"]
    if not (signature := calls[0].get("thoughtSignature")):
        raise Refusal(
            400,
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work "
            f"correctly. Additional data, function call `default_api:{call['name']}`, position {index + 1}.",
        )
    if octets(signature) != octets(seal("google", call["name"])):
        raise Refusal(400, "Corrupted thought signature.")


def read_user(asked, parts, results):
    asked.texts += [part["text"] for part in parts if "text" in part]
    for result in results:
        given = result["response"]
        if not isinstance(given, dict):
            raise Refusal(400, "Invalid value at 'function_response.response' (type.googleapis.com/google.protobuf.Struct)")
        only = list(given.values())
        asked.results.append(only[0] if len(only) == 1 and isinstance(only[0], str) else json.dumps(given, ensure_ascii=False))
    data = [part["inlineData"] for part in parts if "inlineData" in part]
    asked.images = [(one["mimeType"], octets(one["data"])) for one in data]


def parts_of(body, answer: Answer):
    shows = ((body.get("generationConfig") or {}).get("thinkingConfig") or {}).get("includeThoughts")
    parts, first = [], True
    for part in answer.parts:
        if isinstance(part, Call):
            call = {"functionCall": {"name": part.name, "args": part.input}}
            parts.append(call | ({"thoughtSignature": seal("google", part.name)} if first else {}))
            first = False
        elif isinstance(part, Text):
            parts.append({"text": part.text})
        elif isinstance(part, Thought) and shows:
            parts.append({"text": part.text, "thought": True})
    return parts


def response(model, parts, finish):
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0} | ({"finishReason": finish} if finish else {})
    return {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": model, "responseId": "scripted"}


def chunks(body, model, answer: Answer):
    for part in parts_of(body, answer):
        if "text" in part:
            for word in words(part["text"]):
                yield response(model, [part | {"text": word}], None)
        else:
            yield response(model, [part], None)
    if answer.end == "failed":
        yield error(Refusal(503, "the model failed")).value
    if answer.end == "whole":
        yield response(model, [{"text": ""}], FINISH[answer.stop])


def embed(body, **_):
    if not body["content"]["parts"]:
        raise Refusal(400, "content is empty")
    return Json({"embedding": {"values": VECTOR}, "usageMetadata": {"promptTokenCount": 3}})


def embed_many(body, **_):
    return Json({"embeddings": [{"values": VECTOR} for one in body["requests"] if one["content"]["parts"]]})


ROUTES = [
    (re.compile(r"/models/(?P<model>[^/]+):generateContent$"), generate),
    (re.compile(r"/models/(?P<model>[^/]+):streamGenerateContent$"), stream),
    (re.compile(r"/models/(?P<model>[^/]+):countTokens$"), count),
    (re.compile(r"/models/(?P<model>[^/]+):embedContent$"), embed),
    (re.compile(r"/models/(?P<model>[^/]+):batchEmbedContents$"), embed_many),
]
