"""JSONL: what a line may be, and what happens to a line that is not that."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._limits import ReadLimits
from nestvec._readers import Mapping, ReadDocument, ReadFailure, read
from nestvec.errors import InvalidInput
from nestvec.types import Document, Field

DEFAULT = Mapping()


def lines(data: str | bytes, mapping: Mapping = DEFAULT, **options):
    raw = data if isinstance(data, bytes) else data.encode()
    return list(read(["-"], mapping, stdin=io.BytesIO(raw), **options))


def one(row: object, mapping: Mapping = DEFAULT, **options):
    (item,) = lines(json.dumps(row) + "\n", mapping, **options)
    return item


def document(row: object, mapping: Mapping = DEFAULT, **options) -> Document:
    item = one(row, mapping, **options)
    assert isinstance(item, ReadDocument), item
    return item.document


def failure(row: object, mapping: Mapping = DEFAULT, **options) -> ReadFailure:
    item = one(row, mapping, **options)
    assert isinstance(item, ReadFailure), item
    return item


def test_a_line_becomes_a_document_with_its_place(tmp_path):
    path = tmp_path / "handbook.jsonl"
    path.write_text('{"id": "a", "text": "one"}\n\n  \n{"id": "b", "text": "two", "year": 2026}\r\n')
    first, second = read([path])
    assert first == ReadDocument(Document("a", "one"), str(path), 1, path.stat().st_size)
    assert (second.document, second.line) == (Document("b", "two", {"year": 2026}), 4)


def test_a_malformed_line_is_a_failure_and_reading_goes_on(tmp_path):
    path = tmp_path / "handbook.jsonl"
    good = [json.dumps({"id": number, "text": "x"}) for number in range(1, 4711)]
    path.write_text("\n".join([*good, '{"id": "4711" "text": "x"}', '{"id": "last", "text": "x"}']))
    *_, bad, last = read([path])
    assert bad.error == f"{path}:4711: not valid JSON: expecting ',' at column 15"
    assert (bad.path, bad.line, bad.document_id) == (str(path), 4711, None)
    assert (last.document.id, last.line) == ("last", 4712)


def test_invalid_utf8_is_a_failure_of_its_line():
    before, bad, after = lines(b'{"id": "a", "text": "x"}\n{"id": "b\xff", "text": "x"}\n{"id": "c", "text": "x"}')
    assert before.document.id == "a"
    assert after.document.id == "c"
    assert bad.line == 2
    assert "byte 0xff at offset 9 of the line" in bad.error


def test_a_byte_order_mark_is_accepted_at_the_beginning_only():
    item, later = lines(b'\xef\xbb\xbf{"id": "a", "text": "x"}\n\xef\xbb\xbf{"id": "b", "text": "x"}')
    assert item.document.id == "a"
    assert isinstance(later, ReadFailure)


def test_a_utf16_file_is_one_failure():
    (bad,) = lines('{"id": "a", "text": "x"}\n{"id": "b", "text": "x"}\n'.encode("utf-16"))
    assert "UTF-16" in bad.error
    assert bad.line is None


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_no_json_are_refused(constant):
    (bad,) = lines(f'{{"id": "a", "text": "x", "year": {constant}}}')
    assert f"{constant} is no JSON number" in bad.error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1, 2]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"id": "a", "id": "b", "text": "x"}', "the key 'id' is there twice"),
        ('{"id": "a", "text": "x", "n": 1e999}', "too large"),
        ('{"id": ' + "9" * 5000 + ', "text": "x"}', "too many digits"),
        ('{"id": "a", "text": "x", "n": ' + "[" * 100_000, "nested too deeply"),
        ('{"id": "a", "text": "\\ud800"}', "surrogate"),
        ('{"id": "a", "text": "x', "unterminated string starting at column 21"),
    ],
)
def test_lines_that_hold_no_usable_object(line, said):
    bad, good = lines(line + '\n{"id": "next", "text": "x"}')
    assert said in bad.error
    assert bad.line == 1
    assert good.document.id == "next"


def test_escaped_pairs_and_unusual_line_separators_stay_in_the_text():
    text = "\N{GRINNING FACE} a\u2028b\x85c"
    assert document({"id": "a", "text": text}).text == text
    (item,) = lines(json.dumps({"id": "a", "text": text}, ensure_ascii=False))
    assert item.document.text == text


def test_a_json_array_is_explained():
    first, *_ = lines('[\n{"id": "a", "text": "x"}\n]')
    assert "one JSON array" in first.error


def test_a_line_over_the_limit_is_a_failure_and_the_rest_of_it_is_passed_over():
    data = json.dumps({"id": "a", "text": "x" * 500}) + "\n" + json.dumps({"id": "b", "text": "x"}) + "\n"
    bad, good = lines(data, limits=ReadLimits(document=64))
    assert "longer than" in bad.error
    assert (good.document.id, good.line) == ("b", 2)


def test_five_megabytes_of_text_pass():
    text = "é" * 2_500_000
    assert document({"id": "a", "text": text}).text == text


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize("column", ["id", "_id", "document_id"])
def test_usual_names_of_the_id(column):
    assert document({column: "a", "text": "x"}) == Document("a", "x")


@pytest.mark.parametrize("column", ["text", "content", "body"])
def test_usual_names_of_the_text(column):
    assert document({"id": "a", column: "x"}) == Document("a", "x")


def test_the_first_usual_name_that_holds_something_wins_and_the_others_are_metadata():
    row = {"_id": "second", "id": None, "document_id": "third", "content": "c", "text": "t"}
    assert document(row) == Document("second", "t", {"document_id": "third", "content": "c"})


def test_a_mapping_names_the_columns():
    row = {"key": "a", "title": "x", "id": 7, "lang": "de", "year": 2026}
    chosen = Mapping(id="key", text="title", metadata=("lang",))
    assert document(row, chosen) == Document("a", "x", {"lang": "de"})
    assert document(row, Mapping("key", "title")).metadata == {"id": 7, "lang": "de", "year": 2026}
    assert document(row, Mapping("key", "title", ())).metadata == {}


def test_a_usual_name_with_another_job_is_not_taken_for_the_text():
    assert document({"text": "a", "body": "x"}, Mapping(id="text")) == Document("a", "x")
    assert document({"id": "a", "text": "t", "body": "x"}, Mapping(metadata=("text",))) == Document(
        "a", "x", {"text": "t"}
    )
    assert "looked for '_id'" in failure({"id": "x"}, Mapping(text="id")).error


def test_a_missing_column_says_what_was_looked_for_and_what_there_is():
    error = failure({"titel": "x", "id": "a"}, Mapping(text="title")).error
    assert "looked for 'title' (did you mean 'titel'?)" in error
    assert "there are 'titel', 'id'" in error
    assert "--text" in error
    assert "looked for 'id', '_id', 'document_id'" in failure({"text": "x"}).error
    assert "--id" in failure({"text": "x"}).error


@pytest.mark.parametrize(("given_id", "read_id"), [(7, "7"), (-1, "-1"), (10**30, str(10**30)), ("7.0", "7.0")])
def test_integer_ids_become_strings(given_id, read_id):
    assert document({"id": given_id, "text": "x"}).id == read_id


@pytest.mark.parametrize("bad", [7.0, True, False, ["a"], {"$oid": "a"}, ""])
def test_other_ids_are_failures(bad):
    assert "the id in 'id' is" in failure({"id": bad, "text": "x"}).error


@pytest.mark.parametrize("bad", [None, 7, ["x"], {"a": 1}])
def test_a_text_that_is_no_string_is_a_failure_with_the_id(bad):
    found = failure({"id": 7, "text": bad})
    assert found.document_id == "7"
    assert "the text in 'text' is" in found.error


# ---------------------------------------------------------------- metadata


def test_all_other_keys_are_metadata_and_null_is_missing():
    row = {"id": "a", "text": "x", "s": "", "i": 1, "f": 1.5, "b": False, "l": ["a", "b"], "e": [], "n": None}
    assert document(row).metadata == {"s": "", "i": 1, "f": 1.5, "b": False, "l": ["a", "b"], "e": []}


def test_an_object_called_metadata_is_spread_beside_the_other_keys():
    row = {"id": "a", "text": "x", "url": "u", "metadata": {"lang": "de", "id": "inner", "gone": None}}
    assert document(row).metadata == {"url": "u", "lang": "de", "id": "inner"}


def test_a_plain_value_called_metadata_is_a_field():
    assert document({"id": "a", "text": "x", "metadata": "m"}).metadata == {"metadata": "m"}
    assert document({"id": "a", "text": "x", "metadata": None}).metadata == {}


def test_a_field_beside_and_in_metadata_is_a_failure_unless_one_is_null():
    row = {"id": "a", "text": "x", "lang": "de", "metadata": {"lang": "en"}}
    assert "the field 'lang' is there twice" in failure(row).error
    assert document({**row, "lang": None}).metadata == {"lang": "en"}
    assert document({**row, "metadata": {"lang": None}}).metadata == {"lang": "de"}


@pytest.mark.parametrize("value", [{"name": "Ada"}, [["a"]], [{"a": 1}], ["a", None]])
def test_nested_values_are_kept_as_they_are(value):
    for row in ({"author": value}, {"metadata": {"author": value}}):
        assert document({"id": "a", "text": "x", **row}).metadata == {"author": value}


def test_nested_values_may_be_chosen_or_not():
    row = {"id": "a", "text": "x", "author": {"name": "Ada"}, "lang": "de"}
    assert document(row, Mapping(metadata=("lang",))).metadata == {"lang": "de"}
    assert document(row, Mapping(metadata=("author",))).metadata == {"author": {"name": "Ada"}}


def test_chosen_fields_are_found_in_the_row_then_in_metadata_and_may_be_missing():
    row = {"id": "a", "text": "x", "lang": "de", "metadata": {"lang": "en", "year": 2026, "more": {}}}
    chosen = Mapping(metadata=("lang", "year", "absent", "id"))
    assert document(row, chosen).metadata == {"lang": "de", "year": 2026, "id": "a"}


def test_nothing_is_converted_declared_or_not():
    fields = {
        "day": Field.parse("datetime"),
        "days": Field.parse("datetime[]"),
        "year": Field.parse("integer"),
    }
    row = {"id": "a", "text": "x", "day": "2026-01-31T08:00:00+01:00", "days": ["2026-01-31"], "year": "2026"}
    assert document({**row, "other": "2026-01-31"}, fields=fields).metadata == {
        "day": "2026-01-31T08:00:00+01:00",
        "days": ["2026-01-31"],
        "year": "2026",
        "other": "2026-01-31",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"id": "a", "text": "a"},
        {"metadata": ("a", "b", "a")},
        {"text": "a", "metadata": ("a",)},
        {"id": ""},
        {"metadata": ("",)},
    ],
)
def test_a_column_with_two_jobs_or_no_name_is_refused(arguments):
    with pytest.raises(InvalidInput, match=r"twice|empty name"):
        Mapping(**arguments)


# ---------------------------------------------------------------- properties

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
scalars = (
    texts
    | st.integers()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.datetimes(timezones=st.just(UTC))
)
names = texts.filter(lambda name: name not in {"id", "text", "metadata"})
documents = st.lists(
    st.builds(Document, texts, texts, st.dictionaries(names, scalars | st.lists(scalars), max_size=4)),
    max_size=8,
)


def as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


@given(documents, st.booleans(), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_documents_written_as_jsonl_read_back_the_same(given_documents, flat, ascii_only, end):
    written = []
    for wanted in given_documents:
        metadata = json.loads(json.dumps(wanted.metadata, default=as_json))
        row = {"id": wanted.id, "text": wanted.text, **(metadata if flat else {"metadata": metadata})}
        written.append(json.dumps(row, ensure_ascii=ascii_only) + end)
    items = lines("".join(written))
    # Undeclared times stay strings, so the expectation is what JSON makes of the metadata.
    plain = [json.loads(json.dumps(wanted.metadata, default=as_json)) for wanted in given_documents]
    assert [(item.document.id, item.document.text, item.document.metadata) for item in items] == [
        (wanted.id, wanted.text, metadata) for wanted, metadata in zip(given_documents, plain, strict=True)
    ]


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(data):
    for item in lines(data):
        assert isinstance(item, ReadDocument | ReadFailure)
        if isinstance(item, ReadDocument):
            assert not any(isinstance(v, float) and not math.isfinite(v) for v in item.document.metadata.values())
