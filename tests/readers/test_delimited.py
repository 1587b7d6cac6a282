"""CSV: header, delimiter, cells and their lines."""

from __future__ import annotations

import _csv
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._limits import ReadLimits
from nestvec._readers import Mapping, ReadDocument, ReadFailure, read
from nestvec.errors import InvalidInput
from nestvec.types import Document, Field

DEFAULT = Mapping()


def table(data: str | bytes, mapping: Mapping = DEFAULT, **options):
    raw = data if isinstance(data, bytes) else data.encode()
    return list(read(["-"], mapping, format="csv", stdin=io.BytesIO(raw), **options))


def test_rows_become_documents_of_strings():
    first, second = table("id,text,year\n7,one,2026\n7.0,two,\n")
    assert first.document == Document("7", "one", {"year": "2026"})
    assert second.document == Document("7.0", "two")
    assert (first.path, first.line, second.line) == ("-", 2, 3)


def test_cells_become_the_declared_types():
    fields = {"year": Field.parse("integer"), "tags": Field.parse("keyword[]")}
    good, other = table("id,text,year,tags\na,x,2026,p;q\nb,x,soon,p\n", fields=fields)
    assert good.document.metadata == {"year": 2026, "tags": ["p", "q"]}
    assert other.document.metadata == {"year": "soon", "tags": ["p"]}  # what becomes of it, the collection says


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_known_from_the_header(delimiter):
    data = delimiter.join(["id", "text", "lang"]) + "\n" + delimiter.join(["a", '"x,y;z|w"', "de"])
    (item,) = table(data)
    assert item.document == Document("a", "x,y;z|w", {"lang": "de"})


def test_the_delimiter_that_splits_most_wins_and_quotes_protect():
    (item,) = table('id;text;"a,b,c,d,e"\n1;x;y')
    assert item.document.metadata == {"a,b,c,d,e": "y"}
    (item,) = table("id,text,a;b\n1,x,y")
    assert item.document.metadata == {"a;b": "y"}


def test_tsv_is_tab_whatever_the_header_says(tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("id\ttext\ta,b,c,d\n1\tx\ty\n")
    (item,) = read([path])
    assert item.document == Document("1", "x", {"a,b,c,d": "y"})


def test_lines_are_those_where_rows_start():
    items = table('id,text\n\na,"one\ntwo\nthree"\n\nb,x\nc\nd,"x\r\ny"\ne,x,y\n')
    assert [(type(item), item.line) for item in items] == [
        (ReadDocument, 3),
        (ReadDocument, 7),
        (ReadFailure, 8),
        (ReadDocument, 9),
        (ReadFailure, 11),
    ]
    assert items[0].document.text == "one\ntwo\nthree"
    assert items[3].document.text == "x\r\ny"
    assert "the row has 1 cells and the header 2" in items[2].error
    assert items[2].error.startswith("standard input:8: ")


def test_lone_carriage_returns_end_lines():
    items = table("id,text\ra,x\rb,y\r")
    assert [(item.document.id, item.line) for item in items] == [("a", 2), ("b", 3)]


def test_bad_quoting_is_a_failure_and_the_next_line_is_read():
    bad, good = table('id,text\na,"x"y\nb,z\n')
    assert "not valid CSV" in bad.error
    assert (bad.line, good.document.id) == (2, "b")


def test_a_quote_that_is_never_closed_says_which_lines_are_lost():
    good, bad = table('id,text\na,x\nb,"y\nc,z\nd,z\n')
    assert good.document.id == "a"
    assert bad.line == 3
    assert "never closed (lines 3 to 5 are passed over)" in bad.error


def test_invalid_utf8_is_a_failure_of_its_row():
    first, bad, last = table(b'id,text\na,x\nb,"y\n\xc3\xa9 \xffz"\nc,\xc3\xa9\n')
    assert first.document.id == "a"
    assert last.document == Document("c", "é")
    assert bad.line == 3
    assert "byte 0xff at offset 3 of line 4" in bad.error


def test_a_byte_order_mark_is_accepted():
    (item,) = table(b"\xef\xbb\xbfid,text\na,x\n")
    assert item.document == Document("a", "x")


def test_huge_cells_pass():
    text = "wort " * 1_000_000
    (item,) = table(f'id,text\na,"{text}"\n')
    assert item.document.text == text


def test_a_line_over_the_limit_is_a_failure_and_the_rest_of_it_is_passed_over():
    bad, good = table("id,text\na," + "x" * 500 + "\nb,y\n", limits=ReadLimits(document=64))
    assert "longer than" in bad.error
    assert (good.document.id, good.line) == ("b", 3)


def test_a_cell_over_the_limit_of_the_reader_is_a_failure(monkeypatch):
    known = csv.field_size_limit()
    monkeypatch.setattr(csv, "field_size_limit", lambda *_: known)
    _csv.field_size_limit(100)
    try:
        bad, good = table("id,text\na," + "x" * 500 + "\nb,y\n")
    finally:
        _csv.field_size_limit(known)
    assert "a cell is longer than" in bad.error
    assert good.document.id == "b"


@pytest.mark.parametrize("row", [",x", '"",x'])
def test_an_empty_id_is_missing(row):
    (bad,) = table(f"id,text\n{row}\n")
    assert "the id in 'id' is empty" in bad.error


def test_an_empty_text_is_missing():
    (bad,) = table("id,text\na,\n")
    assert "the text in 'text' is empty" in bad.error
    assert bad.document_id == "a"


def test_a_column_called_metadata_is_an_ordinary_one():
    (item,) = table('id,text,metadata\na,x,"{""lang"": ""de""}"\n')
    assert item.document.metadata == {"metadata": '{"lang": "de"}'}


# ---------------------------------------------------------------- the header


@pytest.mark.parametrize(
    ("header", "mapping", "said"),
    [
        (
            "id,titel",
            Mapping(text="title"),
            r"looked for 'title' \(did you mean 'titel'\?\); there are 'id', 'titel'",
        ),
        ("key,text", Mapping(), r"looked for 'id', '_id', 'document_id'; there are 'key', 'text'; .* --id"),
        ("id,word", Mapping(), r"looked for 'text', 'content', 'body'.* --text"),
        ("id,text,lang", Mapping(metadata=("lnag",)), r"'lnag'.*did you mean 'lang'"),
        ("id,text,lang,lang", Mapping(), "two columns are called 'lang'"),
        ("id,text,", Mapping(), "column 3 has no name.*--metadata"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_before_anything_is_read(tmp_path, header, mapping, said):
    good = tmp_path / "a.jsonl"
    good.write_text('{"id": "a", "text": "x"}\n')
    path = tmp_path / "b.csv"
    path.write_text(header + "\n")
    with pytest.raises(InvalidInput, match=said) as refused:
        read([good, path], mapping)  # not even iterated
    assert str(path) in str(refused.value)


def test_the_header_on_standard_input_is_checked_on_the_first_step():
    items = read(["-"], format="csv", stdin=io.BytesIO(b"key,text\na,x\n"))
    with pytest.raises(InvalidInput, match="looked for 'id'"):
        next(items)


def test_unnamed_columns_are_left_out_when_fields_are_chosen():
    (item,) = table(",id,text,lang\n0,a,x,de\n", Mapping(metadata=("lang",)))
    assert item.document == Document("a", "x", {"lang": "de"})


def test_one_column_serves_the_whole_file():
    (bad,) = table("id,_id,text\n,b,x\n")
    assert "the id in 'id' is empty" in bad.error


def test_blanks_around_names_and_lines_before_the_header_do_no_harm():
    (item,) = table("\n\n id , text \na,x\n")
    assert (item.document, item.line) == (Document("a", "x"), 4)


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "empty"), (b"\n \n", "empty"), (b"id,\xff\n", "byte 0xff at offset 3")]
)
def test_a_file_without_a_usable_header_is_a_failure(tmp_path, data, said):
    path = tmp_path / "bad.csv"
    path.write_bytes(data)
    (bad,) = read([path])
    assert said in bad.error
    assert bad.line is None


cells = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(cells, cells, cells), max_size=6), st.sampled_from([",", ";", "\t", "|"]))
def test_rows_written_by_the_csv_module_read_back_the_same(rows, delimiter):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("id", "text", "more"), *rows])
    items = table(out.getvalue())
    assert [item.document for item in items] == [Document(i, t, {"more": m}) for i, t, m in rows]


@given(st.binary(max_size=100))
def test_no_bytes_make_it_raise(data):
    assert all(isinstance(item, ReadDocument | ReadFailure) for item in table(b"id,text\n" + data))
