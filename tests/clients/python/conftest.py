import pytest
import weir
from openai import AsyncOpenAI, OpenAI


@pytest.fixture(scope="session")
def client():
    """The SDK as a user sets it up; retries are off so that every answer is seen."""
    with OpenAI(base_url=weir.URL + "/v1", api_key=weir.KEY, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
async def async_client():
    async with AsyncOpenAI(base_url=weir.URL + "/v1", api_key=weir.KEY, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def client_with(client):
    """The SDK with another key: a string, or the fields of a key to create."""

    def make(key):
        if isinstance(key, dict):
            key = weir.create_key(**key)["key"]
        return client.with_options(api_key=key)

    return make
