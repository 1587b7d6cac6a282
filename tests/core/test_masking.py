"""Secrets that somebody repeats are masked, in whatever encoding; other words stay."""

from __future__ import annotations

import re
import time
import traceback

import pytest

from nestvec import masking
from nestvec.errors import BackendRefused, ConfigError
from nestvec.masking import MASK, MaskedError, masked, presentable, remember
from nestvec.options import Secret
from nestvec_testing.echoes import ECHOES

KEY = "jina_0aF/x+9&b<c\"d'e%f=_-Zz~7890"
PASSWORD = "pässwörd 𝔘nd mehr"


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("secret", [KEY, PASSWORD, "sk-0123456789abcdef"], ids=["key", "password", "simple"])
def test_every_encoding(secret: str, echo: str) -> None:
    text = ECHOES[echo](secret)
    assert masked(f"before {text} after") == f"before {text} after"
    remember(secret)
    found = masked(f"before {text} after")
    assert found.startswith("before ")
    assert found.endswith(" after")
    assert MASK in found
    rest = found.removeprefix("before ").removesuffix(" after")
    assert len(rest) <= len(MASK) + 40, rest  # what base64 has around it
    assert not re.search("[0-9a-zA-Z]{9}", rest.replace("Bearer", "")) or echo.startswith("base64"), rest


def test_several_secrets_and_several_places() -> None:
    remember("first-secret", None, "", "second-secret")
    assert masked("first-secret, second-secret, first-secret") == "***, ***, ***"


def test_short_secrets_are_words_and_not_parts_of_others() -> None:
    remember("key")
    assert masked("the key, my_key, keys") == "the ***, my_key, keys"
    assert str(BackendRefused("check the key")) == "check the key", "it is a word of ours, too"


def test_errors_hold_no_secret_whoever_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", f" {KEY}\n")
    assert Secret(env="SOME_KEY").reveal("it") == KEY
    assert str(BackendRefused(f"it says: {KEY}")) == "it says: ***"
    error = ConfigError(f"with {KEY}", [f"and {KEY}"])
    assert error.problems == ("and ***",)
    assert KEY not in str(error)


def test_what_an_error_is_chained_to() -> None:
    remember(KEY)
    harmless = ValueError("nothing")
    assert presentable(harmless) is harmless
    assert str(presentable(ValueError(f"it says {KEY}"))) == "ValueError: it says ***"
    deep = OSError("above")
    deep.__cause__ = ValueError(KEY)
    found = presentable(deep)
    assert isinstance(found, MaskedError)
    assert KEY not in "".join(traceback.format_exception(found))


def test_so_many_are_known_and_no_more() -> None:
    for number in range(1000):
        remember(f"secret-number-{number}")
    assert len(masking._known) == 256
    assert masked("secret-number-999 secret-number-0") == "*** secret-number-0"


def test_a_long_text_takes_no_time() -> None:
    remember(KEY)
    for text in ("j" * 64_000, "jina_" * 12_000, "\\u006a" * 10_000, "%25" * 20_000, "&amp;" * 12_000, "\0" * 64_000):
        began = time.process_time()
        assert masked(text) == text
        assert time.process_time() - began < 2
