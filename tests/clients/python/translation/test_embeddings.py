"""Embeddings by the OpenAI SDK, which asks for base64 and decodes it, whatever the provider gives."""

import pytest
import script
from script import VECTOR, model

MODELS = [
    ("openai", "text-embedding-3-small"),
    ("gemini", "gemini-embedding-001"),
    ("bedrock", "amazon.titan-embed-text-v2:0"),
    ("cohere", "embed-english-v3.0"),
]


@pytest.mark.parametrize("upstream, name", MODELS[:1] if script.DIRECT else MODELS)
@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_embeddings_of_two_texts(openai, upstream, name, form):
    fields = {"encoding_format": form} if form else {}
    answer = openai.embeddings.create(model=model(upstream, name), input=["hello", "world"], **fields)
    assert [one.index for one in answer.data] == [0, 1]
    if form == "base64":
        assert all(isinstance(one.embedding, str) for one in answer.data)
    else:
        assert [one.embedding for one in answer.data] == [VECTOR, VECTOR]
