"""What can be kept as a note is settled when the request is made, before any adapter sees it."""

from __future__ import annotations

import pytest

from nestvec.contract import MAX_NOTE, ReadNote, WriteNote
from nestvec.errors import InvalidInput, InvalidName


@pytest.mark.parametrize("name", ["a", "0", "canaries-2", "x" * 64])
def test_names_that_can_be_used(name):
    assert WriteNote("docs_1", name, "text").name == ReadNote("docs_1", name).name == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a b", "a\n", "ü", "a/b", "x" * 65])
@pytest.mark.parametrize(
    "request_of", [lambda name: WriteNote("docs_1", name, None), lambda name: ReadNote("docs_1", name)]
)
def test_names_that_cannot(name, request_of):
    with pytest.raises(InvalidName, match=r"docs_1.*lower-case letters, digits and hyphens"):
        request_of(name)


@pytest.mark.parametrize("text", ["x" * MAX_NOTE, "ü" * (MAX_NOTE // 2), "", None])
def test_texts_up_to_the_largest(text):
    assert WriteNote("docs_1", "a", text).text == text


@pytest.mark.parametrize("text", ["x" * (MAX_NOTE + 1), "ü" * (MAX_NOTE // 2) + "x"])
def test_a_text_that_is_too_long_is_refused_with_its_size(text):
    with pytest.raises(InvalidInput, match=f"docs_1.*'canaries' has {MAX_NOTE + 1} bytes.*shorten"):
        WriteNote("docs_1", "canaries", text)


def test_a_text_that_no_utf_8_can_express_is_refused():
    with pytest.raises(InvalidInput, match=r"docs_1.*'canaries'.*position 3"):
        WriteNote("docs_1", "canaries", "abc\ud800")
