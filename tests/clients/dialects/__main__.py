"""A scripted upstream that speaks every dialect Weir sends requests in, and is as strict as the providers are.

    python tests/clients/dialects PORT KEY

`script.py` says what happens; a module for each dialect says how it looks. The first part of a path names the provider, who
knows its own dialect alone: `http://127.0.0.1:PORT/openai/v1`, `/anthropic/v1`, `/gemini/v1beta`, `/bedrock`, `/cohere/v2`.
For the tests: `GET /_last?path=` is the last request whose path ends so: `{"path", "headers", "body"}`.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlparse

import anthropic
import bedrock
import cohere
import gemini
import openai_chat
import openai_responses
from script import Refusal
from wire import Json, Stream

PROVIDERS = {
    "openai": [openai_chat, openai_responses],
    "anthropic": [anthropic],
    "gemini": [gemini],
    "bedrock": [bedrock],
    "cohere": [cohere],
}

last: list[dict] = []


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key = ""

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlparse(self.path)
        if url.path == "/_last":
            end = parse_qs(url.query)["path"][0]
            self.send(Json(next((seen for seen in reversed(last) if seen["path"].endswith(end)), None)))
        elif url.path.endswith("/models"):
            self.send(Json({"object": "list", "data": []}))
        else:
            self.send(Json({}))

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = urlparse(self.path)
        path = unquote(url.path)
        for dialect in PROVIDERS.get(path.split("/")[1], []):
            for pattern, handle in dialect.ROUTES:
                if found := pattern.search(path):
                    return self.send(self.answer(dialect, handle, found, parse_qs(url.query), path, raw))
        return self.send(openai_chat.error(Refusal(404, f"the script has no {path}")))

    def answer(self, dialect, handle, found, query, path, raw):
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = json.loads(raw)
            last.append({"path": path, "headers": headers, "body": body})
            del last[:-100]
            if dialect.key_of(headers) != self.key:
                raise Refusal(401, "wrong upstream key")
            return handle(body, found=found, query=query, headers=headers)
        except Refusal as refusal:
            return dialect.error(refusal)
        except (ValueError, KeyError, TypeError, AttributeError) as broken:
            return dialect.error(Refusal(400, f"not a request of this dialect: {broken!r}"))

    def send(self, reply):
        try:
            self.send_json(reply) if isinstance(reply, Json) else self.send_stream(reply)
        except OSError:
            self.close_connection = True

    def send_json(self, reply):
        data = json.dumps(reply.value, ensure_ascii=False).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_stream(self, stream: Stream):
        self.send_response(200)
        self.send_header("content-type", stream.content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in stream.pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if stream.broken:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # Connections that come at once wait to be accepted instead of being reset.
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A client that left is no fault here; anything else is, and is said."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    Upstream.key = sys.argv[2]
    Server(("127.0.0.1", int(sys.argv[1])), Upstream).serve_forever()
