"""What the scripted upstream does, in no provider's words: each dialect's module reads a request into an `Asked` and writes
the `Answer` out.

A word in the last text of the user chooses the scene: `script:<scene>`. What follows a tool's result is always a text that
repeats it. Without a word the text is repeated.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field

CREATED = 1_700_000_000
VECTOR = [0.25, -0.5, 0.125, 1.0]
WHAT_COUNTS_SAY = 42

# What every answer cost, in one convention: the input includes what was read from and written to the cache, the output
# what was thought.
INPUT, CACHE_READ, CACHE_WRITE = 100, 30, 10
OUTPUT, REASONING = 40, 15


@dataclass
class Text:
    text: str


@dataclass
class Thought:
    text: str


@dataclass
class Call:
    id: str
    name: str
    input: dict

    @property
    def arguments(self):
        """What a model writes: compact JSON, letters as they are; nothing where there are no arguments."""
        return json.dumps(self.input, ensure_ascii=False, separators=(",", ":")) if self.input else ""


@dataclass
class Asked:
    """A request, as far as a scene depends on it."""

    texts: list[str] = field(default_factory=list)  # of the user, in order
    results: list[str] = field(default_factory=list)  # of tools, behind the model's last turn
    tools: list[str] = field(default_factory=list)  # names on offer
    images: list[tuple[str, bytes]] = field(default_factory=list)  # media type and bytes, of the last turn
    instructions: list[str] = field(default_factory=list)
    schema: dict | None = None  # that the answer must have
    thinks: bool = False  # thinking was asked for

    @property
    def text(self):
        return self.texts[-1] if self.texts else ""

    @property
    def scene(self):
        words = re.findall(r"script:([a-z0-9-]+)", "\n".join(self.texts))
        return words[-1] if words else "echo"

    @property
    def must_show_seal(self):
        """Whether the model's last turn was a sealed thought with a call, which the provider wants to see again."""
        return self.sealed and bool(self.results)

    @property
    def sealed(self):
        """Whether the calls of this scene follow a thought."""
        return self.scene in ("think", "call") and self.thinks


@dataclass
class Answer:
    parts: list
    stop: str = "end"  # end | tools | length | refusal
    # How a stream of it ends: whole | cut (no terminal event) | broken (the connection dies) | failed (an error event).
    end: str = "whole"

    def of(self, kind):
        return [part for part in self.parts if isinstance(part, kind)]

    @property
    def text(self):
        return "".join(part.text for part in self.of(Text))


class Refusal(Exception):
    """An error that the provider would answer; `status` decides its shape."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def seal(maker, text):
    """What a provider signs its model's thoughts with: nobody else can make it, and every byte counts."""
    digest = hashlib.sha512(f"{maker} signs {text}".encode()).digest()
    return base64.b64encode(digest).decode()


def perform(asked):
    """The answer of the scene."""
    if asked.results:
        return Answer([Text(f"the tool says: {'; '.join(asked.results)}")])
    if status := re.fullmatch(r"status-(\d{3})", asked.scene):
        raise Refusal(int(status[1]), "as the script says")
    scene = SCENES.get(asked.scene)
    if scene is None:
        raise Refusal(400, f"the script has no scene {asked.scene!r}")
    answer = scene(asked)
    for call in answer.of(Call):
        if call.name not in asked.tools:
            return Answer([Text(f"there is no tool {call.name}")])
    if answer.of(Call):
        answer.stop = "tools"
    return answer


def weather(number, city):
    return Call(f"call_{number}", "get_weather", {"city": city})


def read_call(asked):
    """`script:call NAME {..}`: exactly this call."""
    # Agents put notes of their own behind the prompt.
    found = re.search(r"script:call (\S+) (\{.*?\})(?:\s|$)", "\n".join(asked.texts), re.DOTALL)
    if not found:
        raise Refusal(400, "script:call needs a tool's name and its arguments as an object")
    call = Call("call_1", found[1], json.loads(found[2]))
    return Answer([*thought(asked, "A tool would help."), Text("I use a tool."), call])


def read_json(asked):
    # Some frameworks ask models that they do not know for an object by a tool of this name.
    if asked.schema is None and asked.tools == ["json"]:
        return Answer([Call("call_1", "json", {"city": "Genève", "degrees": 21})])
    if asked.schema is None or "degrees" not in json.dumps(asked.schema):
        raise Refusal(400, f"the script wants the schema of the answer, got {asked.schema}")
    return Answer([Text('{"city":"Genève","degrees":21}')])


def see_images(asked):
    seen = [f"{media} {hashlib.sha256(data).hexdigest()}" for media, data in asked.images]
    return Answer([Text("; ".join(seen) or "no image")])


def thought(asked, text):
    return [Thought(text)] if asked.thinks else []


SCENES = {
    "echo": lambda asked: Answer([Text(f"echo: {asked.text}")]),
    "instructions": lambda asked: Answer([Text(" | ".join(asked.instructions) or "none")]),
    "tool": lambda asked: Answer([weather(1, "Genève")]),
    "say-tool": lambda asked: Answer([Text("I look it up."), weather(1, "Genève")]),
    "parallel": lambda asked: Answer([weather(1, "Genève"), weather(2, "Zürich")]),
    "noargs": lambda asked: Answer([Call("call_1", "get_time", {})]),
    "think": lambda asked: Answer([*thought(asked, "The weather is asked for. I look it up."), weather(1, "Genève")]),
    "ponder": lambda asked: Answer([*thought(asked, "This is easy to say."), Text("said after a thought")]),
    "json": read_json,
    "image": see_images,
    "call": read_call,
    "long": lambda asked: Answer([Text("this text is too long to")], stop="length"),
    "refuse": lambda asked: Answer([Text("I ")], stop="refusal"),
    "cut": lambda asked: Answer([Text("this text never comes to its end")], end="cut"),
    "broken": lambda asked: Answer([Text("this text never comes to its end")], end="broken"),
    "failed": lambda asked: Answer([Text("this text never comes to its end")], end="failed"),
}


def words(text):
    """The pieces a text is streamed in; together they are the text."""
    return re.findall(r"\s*\S+", text)


def halves(text):
    """The pieces arguments are streamed in, cut within a string on purpose."""
    middle = len(text) * 2 // 3
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def refuse_unknown(given, known, say):
    for name in given:
        if name not in known:
            raise Refusal(400, say(name))


def data_url(url):
    """Media type and bytes of a `data:` URL."""
    head, data = url.removeprefix("data:").split(",", 1)
    return head.removesuffix(";base64"), base64.b64decode(data, validate=True)
