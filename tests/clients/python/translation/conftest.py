import signal

import pytest
import script
from anthropic import Anthropic
from google import genai
from openai import OpenAI


@pytest.fixture(scope="session")
def openai():
    """The SDKs as a user sets them up; retries are off so that every answer is seen."""
    url = script.base_url("openai", "/v1")
    with OpenAI(base_url=url, api_key=script.KEY, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def anthropic():
    with Anthropic(base_url=script.base_url("anthropic"), api_key=script.KEY, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def gemini():
    return gemini_client(script.KEY)


def gemini_client(key, api_version="v1beta"):
    options = {"base_url": script.base_url("gemini"), "api_version": api_version, "timeout": 30_000}
    return genai.Client(api_key=key, http_options=options)


class Stalled(Exception):
    """LiteLLM's threads now and then wait for each other for ever, with no request under way."""


def stalled(*_):
    raise Stalled


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """A test of LiteLLM that stalls is run once more."""
    if pyfuncitem.module.__name__ != "test_litellm":
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    signal.signal(signal.SIGALRM, stalled)
    for last in (False, True):
        signal.alarm(40)
        try:
            pyfuncitem.obj(**arguments)
            return True
        except Stalled:
            if last:
                raise
        finally:
            signal.alarm(0)
