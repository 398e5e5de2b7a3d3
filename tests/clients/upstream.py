"""A scripted upstream in the OpenAI dialect: the model's name says what happens.

    python upstream.py PORT KEY

Models: `echo` repeats the last user text; `tools` calls the first tool, then sums up its result; `slow` streams a word
every 20 ms for as long as somebody reads; `cut` ends its stream without a finish; `status-503` (any status) is an error.
For the tests: `GET /_last?path=` is the last request on that path, `GET /_gone` waits until a reader of `slow` has left.
"""

import base64
import json
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

# What every answer reports: 4 of the 12 input tokens were cached, 2 of the 7 output tokens were reasoning.
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
VECTOR = [0.25, -0.5, 0.125, 1.0]
CREATED = 1_700_000_000

last: dict[str, dict] = {}
gone = threading.Event()


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key = ""

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlparse(self.path)
        if url.path == "/_last":
            self.json(200, last.get(parse_qs(url.query)["path"][0]))
        elif url.path == "/_gone":
            self.json(200, gone.wait(timeout=15))
        elif url.path == "/v1/models":
            self.json(200, {"object": "list", "data": [{"id": "echo", "object": "model", "created": CREATED, "owned_by": "script"}]})
        else:
            self.json(200, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last[self.path] = {"headers": dict(self.headers.items()), "body": body}
        if self.headers.get("authorization") != f"Bearer {self.key}":
            return self.error(401, "wrong upstream key")
        model = body["model"]
        if model.startswith("status-"):
            return self.error(int(model.removeprefix("status-")), "as the script says")
        answers = {
            "/v1/chat/completions": self.chat,
            "/v1/completions": self.completion,
            "/v1/embeddings": self.embeddings,
        }
        if self.path not in answers:
            return self.error(404, f"the script has no {self.path}")
        answers[self.path](model, body)

    def chat(self, model, body):
        if model == "slow":
            return self.slow(body)
        message = tool_message(body) if model == "tools" else {"role": "assistant", "content": f"echo: {last_text(body)}"}
        finish = "tool_calls" if "tool_calls" in message else "stop"
        if body.get("stream"):
            return self.stream(chat_chunks(model, message, finish, body))
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        self.json(200, envelope(model, "chat.completion", [choice]) | {"usage": USAGE})

    def completion(self, model, body):
        choice = {"index": 0, "text": f"echo: {body['prompt']}", "logprobs": None, "finish_reason": "stop"}
        self.json(200, envelope(model, "text_completion", [choice]) | {"usage": USAGE})

    def embeddings(self, model, body):
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        packed = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
        vector = packed if body.get("encoding_format") == "base64" else VECTOR
        data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(len(inputs))]
        usage = {"prompt_tokens": 3 * len(inputs), "total_tokens": 3 * len(inputs)}
        self.json(200, {"object": "list", "data": data, "model": model, "usage": usage})

    def slow(self, body):
        gone.clear()
        try:
            self.start_stream()
            for _ in range(1000):
                self.chunk(f"data: {json.dumps(delta('slow', {'content': 'word '}))}\n\n")
                time.sleep(0.02)
            self.end_stream()
        except OSError:
            gone.set()

    def stream(self, chunks):
        self.start_stream()
        for chunk in chunks:
            self.chunk(f"data: {json.dumps(chunk)}\n\n")
        if chunks[0]["model"] != "cut":
            self.chunk("data: [DONE]\n\n")
        self.end_stream()

    def start_stream(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end_stream(self):
        self.wfile.write(b"0\r\n\r\n")

    def error(self, status, message):
        self.json(status, {"error": {"message": message, "type": "scripted", "param": None, "code": "scripted_error"}})

    def json(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    # Connections that come at once wait to be accepted instead of being reset.
    request_queue_size = 256


def last_text(body):
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def tool_message(body):
    last_message = body["messages"][-1]
    if last_message["role"] == "tool":
        return {"role": "assistant", "content": f"the tool says: {last_message['content']}"}
    function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"city": "Genève"}'}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}


def envelope(model, kind, choices):
    return {"id": "scripted-1", "object": kind, "created": CREATED, "model": model, "choices": choices}


def delta(model, content, finish=None):
    return envelope(model, "chat.completion.chunk", [{"index": 0, "delta": content, "finish_reason": finish}])


def chat_chunks(model, message, finish, body):
    """One chunk per word, or per half of a tool call's arguments; the usage chunk only for who asks."""
    chunks = [delta(model, {"role": "assistant", "content": ""})]
    for call in message.get("tool_calls", []):
        arguments = call["function"]["arguments"]
        head = call | {"index": 0, "function": call["function"] | {"arguments": ""}}
        chunks.append(delta(model, {"tool_calls": [head]}))
        for part in (arguments[:9], arguments[9:]):
            chunks.append(delta(model, {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}))
    for word in (message["content"] or "").split():
        chunks.append(delta(model, {"content": word + " "}))
    if model == "cut":
        return chunks[:3]
    chunks.append(delta(model, {}, finish))
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append(envelope(model, "chat.completion.chunk", []) | {"usage": USAGE})
    return chunks


if __name__ == "__main__":
    Upstream.key = sys.argv[2]
    Server(("127.0.0.1", int(sys.argv[1])), Upstream).serve_forever()
