"""Which gateway is under test, what stands behind it, and what the scripted upstream (../../dialects) is known to say.

With `DIRECT=1` there is no gateway: each client talks to the upstream in its own dialect, which proves that the upstream is
what the official libraries take for their provider.
"""

import os
import struct
import zlib

import pytest

URL = os.environ["WEIR_URL"]
KEY = os.environ["WEIR_KEY"]
DIRECT = os.environ.get("DIRECT") == "1"

# The gateway's providers, and the model whose data decides what is sent to it.
MODELS = {
    "openai": "gpt-4.1",
    "responses-only": "gpt-5.1",
    "anthropic": "claude-sonnet-4-6",
    "gemini": "gemini-3-flash-preview",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-plus-05-2026",
}
EVERY = list(MODELS)
# Upstreams whose models say what they thought, with a seal that they want to see again.
SEALED = ["responses-only", "anthropic", "gemini", "bedrock"]

INPUT, OUTPUT = 100, 40
# Cohere bills without a word of its cache; Gemini has no count of writes; Bedrock and Cohere have none of thoughts.
CACHE_READ = {"openai": 30, "responses-only": 30, "anthropic": 30, "bedrock": 30, "gemini": 30, "cohere": 0}
CACHE_WRITE = {"openai": 10, "responses-only": 10, "anthropic": 10, "bedrock": 10, "gemini": 0, "cohere": 0}
REASONING = {"openai": 15, "responses-only": 15, "anthropic": 15, "gemini": 15, "bedrock": 0, "cohere": 0}
VECTOR = [0.25, -0.5, 0.125, 1.0]

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING = {"type": "object", "properties": {}}
TOOLS = [("get_weather", "The weather of a city", CITY), ("get_time", "The time", NOTHING)]
ANSWER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}


def upstreams(native, among=EVERY):
    """Runs a test once for each upstream; directly, for that of the client's own dialect alone."""
    return pytest.mark.parametrize("upstream", [native] if DIRECT else among)


through_weir = pytest.mark.skipif(DIRECT, reason="there is no gateway between")


def model(upstream, name=None):
    name = name or MODELS[upstream]
    return name if DIRECT else f"{upstream}/{name}"


def base_url(prefix, path=""):
    """The gateway's URL; directly, the upstream's under a prefix of the dialect, which only its log would show."""
    return f"{URL}/{prefix}{path}" if DIRECT else f"{URL}{path}"


def picture():
    """A PNG of 4 by 4 pixels in all colours: bytes that no text encoding leaves alone."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((row * 48 + column * 21) % 256 for column in range(12)) for row in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
