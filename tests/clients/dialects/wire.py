"""Bytes: server-sent events and Amazon's event stream."""

import json
import struct
import zlib
from dataclasses import dataclass, field


@dataclass
class Json:
    value: object
    status: int = 200
    headers: dict = field(default_factory=dict)


@dataclass
class Stream:
    """Pieces of a body, flushed one by one; `broken` lets the connection die behind them."""

    pieces: object
    content_type: str = "text/event-stream; charset=utf-8"
    broken: bool = False


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def event(data, name=None):
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {data if isinstance(data, str) else dumps(data)}\n\n".encode()


def amazon_event(kind, payload, message_type="event"):
    """One message of `application/vnd.amazon.eventstream`: prelude, headers, payload, each with its CRC-32."""
    names = {f":{message_type}-type": kind, ":content-type": "application/json", ":message-type": message_type}
    headers = b"".join(amazon_header(name, value) for name, value in names.items())
    body = dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def amazon_header(name, value):
    """A header of type 7, a string."""
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
