"""Stores that version 0.1.0 wrote open, are searched, updated, shrunk, migrated and rolled back by the version here.

The Qdrant folder also as what `nestvec convert` makes of it.

`stores-0.1.0.tar.gz` holds a configuration, an embedded Qdrant folder, a Milvus Lite database, an SQLite file, and in
`expected.json` what 0.1.0 said of them. Never replace the archive: nobody's own stores will be replaced, either.
The texts were made by `guide` below, so the tests know them without asking the stores.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from nestvec import Document, F, GenerationRole, Nestvec, Way, aconnect, connect, convert_store
from nestvec._cli import main
from nestvec.runtime import Runtime

ARCHIVE = Path(__file__).with_name("stores-0.1.0.tar.gz")
QUESTION = "where are bicycles parked?"
GUIDES = ("guide_q", "guide_m", "guide_s")
COLLECTIONS = (*GUIDES, "tenants_q", "shrunk_q")
#: Where the files of each backend are, as the configuration says.
FILES = {"q": "qdrant", "m": "milvus.db", "s": "sqlite.db"}
TENANTS = ("acme", "Büro 2")
#: Chunks of a guide collection's 23 documents.
CHUNKS = 50
#: Another processor rounds otherwise in the model's last bits.
ROUNDING = 1e-3

#: Older Pythons know no filters. The archive is our own.
_SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def guide(i: int) -> Document:
    """A document as it was given to 0.1.0."""
    numbers = ((j, i * 7 + j, i * 13 + j) for j in range(1 + i % 6 * 2))
    paragraphs = [
        f"Paragraph {j} of guide {i} explains rule {rule} about holidays, passwords and machine number {machine}."
        for j, rule, machine in numbers
    ]
    metadata = {
        "lang": ("de", "en", "fr")[i % 3],
        "year": 2000 + i,
        "tags": [f"t{i % 4}", "all"],
        "seen": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=i),
        "note": f"free {i}",
    }
    return Document(f"guide/{i} ü", " ".join([f"Section {i}.", *paragraphs]), metadata)


#: One of the 24 was replaced, and one deleted.
REPLACED = Document(
    "guide/3 ü", "Replaced text of guide 3: bicycles are parked behind the house.", {"lang": "de", "year": 2030}
)
STORED = [REPLACED if i == 3 else guide(i) for i in range(24) if i != 5]
SHRUNK = [guide(i) for i in range(10)]
CHANGED = Document("guide/7 ü", "Guide 7, as of today: umbrellas are lent at the front desk.", {"lang": "en"})
UMBRELLAS = "who lends umbrellas?"


class Time:
    """Passes when somebody waits for it. The stores were written shortly before it begins."""

    def __init__(self) -> None:
        self.now = datetime(2027, 1, 1, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Stores:
    """The stores in a folder of their own, and the clock of all that opens them."""

    folder: Path
    runtime: Runtime
    time: Time

    @property
    def config(self) -> Path:
        return self.folder / "nestvec.toml"

    @property
    def expected(self) -> Any:
        return json.loads((self.folder / "expected.json").read_text(encoding="utf-8"))

    def open(self, name: str | None = None, **changes: Any) -> Nestvec:
        """With the configuration as it was written, or with `changes` in the block of one collection."""
        return connect(self.config if name is None else self.values(name, **changes), self.runtime)

    def values(self, name: str, **changes: Any) -> dict[str, Any]:
        values = tomllib.loads(self.config.read_text(encoding="utf-8"))
        for backend, file in FILES.items():
            values["backends"][backend]["path"] = str(self.folder / file)
        values["embedders"]["pt"] = {"use": "e5", "model": "portuguese-multilingual-e5-small"}
        values["collections"][name] |= changes
        return values

    def cli(self, *arguments: str) -> Any:
        """Run a command that ends well; returns what it printed as JSON."""
        command = ["-c", str(self.config), *arguments, "--json"]
        result = CliRunner().invoke(main, command, obj=self.runtime, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores, with what the Qdrant folder becomes in its place."""
    folder = tmp_path_factory.mktemp("converted")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, **_SAFELY)
    convert_store(folder / "qdrant", folder / "new")
    shutil.rmtree(folder / "qdrant")
    (folder / "new").rename(folder / "qdrant")
    config = folder / "nestvec.toml"
    config.write_text(config.read_text(encoding="utf-8").replace('"qdrant"', '"embedded"'), encoding="utf-8")
    return folder


@pytest.fixture
def stores(tmp_path: Path, request: pytest.FixtureRequest) -> Stores:
    if getattr(request, "param", None) == "converted":
        shutil.copytree(request.getfixturevalue("converted"), tmp_path, dirs_exist_ok=True)
    else:
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(tmp_path, **_SAFELY)
    time = Time()
    return Stores(tmp_path, Runtime(clock=time, wall=time, pause=time.pass_), time)


#: For tests of collections in the Qdrant folder.
BOTH = pytest.mark.parametrize("stores", ["as it is", "converted"], indirect=True)
#: For tests of each of the guides: those in the Qdrant folder, converted, too.
EACH_GUIDE = pytest.mark.parametrize(
    ("name", "stores"), [*((name, "as it is") for name in GUIDES), ("guide_q", "converted")], indirect=["stores"]
)


def found(nv: Nestvec, name: str, question: str = QUESTION, **options: Any) -> list[str]:
    return [hit.document_id for hit in nv[name].search(question, limit=3, **options)]


def check_documents(nv: Nestvec, name: str, documents: list[Document]) -> None:
    """These are stored, whole, and no others; each has vectors of length 1 in the generation that is live."""
    assert nv[name].count() == len(documents)
    assert nv[name].get_many([each.id for each in documents]) == documents
    (live,) = [each for each in nv.generations(name) if each.role is GenerationRole.LIVE]
    matrix = nv[name].matrix()
    assert matrix.vectors.shape == (live.chunks, live.dimensions)
    np.testing.assert_allclose(np.linalg.norm(matrix.vectors, axis=1), 1, atol=ROUNDING)


# ------------------------------------------------------------------ opening and reading


@BOTH
def test_there_is_nothing_to_do(stores: Stores) -> None:
    with stores.open() as nv:
        changes = {each.collection: (each.action, each.details) for each in nv.plan()}
        states = {
            each.collection: (each.documents, each.chunks, each.generation, each.outdated) for each in nv.status()
        }
    shrunk = "was shrunk to 128 dimensions: write dimensions = 128"
    assert changes == {name: ("none", (shrunk,) if name == "shrunk_q" else ()) for name in COLLECTIONS}
    assert states == {
        **dict.fromkeys(GUIDES, (len(STORED), CHUNKS, 1, 0)),
        "tenants_q": (4, 4, 1, 0),
        "shrunk_q": (len(SHRUNK), len(SHRUNK), 2, 0),
    }
    assert [each["action"] for each in stores.cli("plan")["changes"]] == ["none"] * len(COLLECTIONS)


@EACH_GUIDE
def test_counts_and_hits_are_those_of_0_1_0(stores: Stores, name: str) -> None:
    expected = stores.expected[name]
    with stores.open() as nv:
        assert nv[name].count() == expected["count"]
        assert nv[name].count(where=F.lang == "de") == expected["de"]
        hits = nv[name].search(QUESTION, limit=3)
        check_documents(nv, name, STORED)
    assert [hit.document_id for hit in hits] == [document for document, _ in expected["hits"]]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected["hits"]], atol=ROUNDING)
    assert (hits[0].text, hits[0].metadata, hits[0].span) == (REPLACED.text, REPLACED.metadata, (0, len(REPLACED.text)))


@EACH_GUIDE
def test_filters_of_every_kind_find_what_matches(stores: Stores, name: str) -> None:
    tenth = datetime(2026, 1, 10, tzinfo=UTC)
    cases: list[tuple[Any, Callable[[Any], bool]]] = [
        (F.lang.in_(["de", "fr"]), lambda it: it["lang"] in ("de", "fr")),
        ((F.year >= 2010) & (F.year < 2030), lambda it: 2010 <= it["year"] < 2030),
        (F.tags.contains("t1"), lambda it: "t1" in it.get("tags", ())),
        (F.seen < tenth, lambda it: "seen" in it and it["seen"] < tenth),
        (~(F.lang == "en"), lambda it: it["lang"] != "en"),
    ]
    with stores.open() as nv:
        for where, matches in cases:
            wanted = {each.id for each in STORED if matches(each.metadata)}
            pages = nv[name].scroll(where, group_by_document=True)
            assert {record.document_id for page in pages for record in page.records} == wanted, where
            assert nv[name].count(where) == len(wanted), where
        assert found(nv, name, where=F.year < 2002)[0] in ("guide/0 ü", "guide/1 ü")


@BOTH
async def test_the_asynchronous_client_reads_and_writes_them_too(stores: Stores) -> None:
    async with aconnect(stores.config, stores.runtime) as nv:
        for name in GUIDES:
            hits = await nv[name].search(QUESTION, limit=3)
            assert [hit.document_id for hit in hits] == [document for document, _ in stores.expected[name]["hits"]]
            report = await nv[name].upsert([CHANGED, guide(9)])
            assert (report.embedded, report.unchanged) == (1, 3)
            assert await nv[name].count() == len(STORED)


# ------------------------------------------------------------------ writing


@EACH_GUIDE
def test_documents_are_left_alone_replaced_and_removed(stores: Stores, name: str) -> None:
    tagged = Document("guide/8 ü", guide(8).text, {"lang": "fr", "year": 1999})
    with stores.open() as nv:
        again = nv[name].upsert(STORED)
        assert (again.documents, again.unchanged, again.embedded, again.deleted) == (len(STORED), CHUNKS, 0, 0)
        shorter = nv[name].upsert(Document("guide/11 ü", CHANGED.text, CHANGED.metadata))
        assert (shorter.embedded, shorter.deleted) == (1, 3)
        assert nv[name].upsert(tagged).embedded == 0
        assert nv[name].delete(["guide/3 ü", "guide/5 ü"]) == 1
        assert nv[name].upsert(guide(5)).embedded == 4
    changed = {
        each.id: each for each in [*STORED, guide(5), tagged, Document("guide/11 ü", CHANGED.text, {"lang": "en"})]
    }
    del changed["guide/3 ü"]
    with stores.open() as nv:
        check_documents(nv, name, list(changed.values()))
        assert found(nv, name, UMBRELLAS)[0] == "guide/11 ü"
        assert nv[name].count(where=F.lang == "en") == 9
        assert nv[name].count(where=F.year == 1999) == 1
        assert "guide/3 ü" not in found(nv, name)


@BOTH
def test_namespaces_stay_apart(stores: Stores) -> None:
    first, second = TENANTS
    with stores.open() as nv:
        assert nv["tenants_q"].tenants() == sorted(TENANTS)
        spaces = {tenant: nv["tenants_q"].namespace(tenant) for tenant in TENANTS}
        for tenant, space in spaces.items():
            assert space.count() == stores.expected["tenants_q"][tenant]
            assert [hit.text for hit in space.search("invoices")] == [
                f"Text of {tenant} about invoices.",
                f"Other text of {tenant}.",
            ]
            assert space.upsert(Document("b", f"Other text of {tenant}.")).unchanged == 1
        spaces[first].upsert([Document("a", "A text about invoices of acme, changed."), Document("c", "A third one.")])
        assert spaces[second].delete(["b", "c"]) == 1
        assert [space.count() for space in spaces.values()] == [3, 1]
        assert spaces[second].get("a") == Document("a", f"Text of {second} about invoices.")


# ------------------------------------------------------------------ shrinking


@EACH_GUIDE
def test_shrinking_and_back(stores: Stores, name: str) -> None:
    with stores.open() as nv:
        assert found(nv, name)[0] == REPLACED.id
        report = nv.shrink(name, 64)
        assert (report.way, report.switched, report.documents, report.chunks) == (Way.DERIVE, True, len(STORED), CHUNKS)
    with stores.open() as nv:
        assert nv.plan(name)[0].details == ("was shrunk to 64 dimensions: write dimensions = 64",)
        check_documents(nv, name, STORED)
        assert found(nv, name)[0] == REPLACED.id
        assert nv[name].upsert([CHANGED, guide(9)]).embedded == 1
    back = stores.cli("rollback", name)
    assert (back["switched"], back["brought"]) == (True, 1)
    with stores.open() as nv:
        assert nv.plan(name)[0].details == ()
        check_documents(nv, name, [CHANGED if each.id == CHANGED.id else each for each in STORED])
        assert found(nv, name, UMBRELLAS)[0] == CHANGED.id


@BOTH
def test_namespaces_are_shrunk_together(stores: Stores) -> None:
    assert stores.cli("shrink", "tenants_q", "--dimensions", "32")["switched"]
    with stores.open() as nv:
        for tenant in TENANTS:
            space = nv["tenants_q"].namespace(tenant)
            assert [hit.document_id for hit in space.search("invoices")] == ["a", "b"]
            assert space.matrix().vectors.shape == (2, 32)


@BOTH
def test_what_0_1_0_had_shrunk_is_followed(stores: Stores) -> None:
    """The configuration says 384 still."""
    with stores.open() as nv:
        assert nv["shrunk_q"].count() == stores.expected["shrunk_q"]["count"]
        check_documents(nv, "shrunk_q", SHRUNK)
        assert nv["shrunk_q"].upsert(SHRUNK).unchanged == len(SHRUNK)
        assert nv["shrunk_q"].upsert(CHANGED).embedded == 1
        assert found(nv, "shrunk_q", UMBRELLAS)[0] == CHANGED.id
        assert nv["shrunk_q"].matrix().vectors.shape == (len(SHRUNK), 128)
        assert nv["shrunk_q"].delete(["guide/0 ü"]) == 1
    with stores.open("shrunk_q", dimensions=128) as nv:
        assert nv.plan("shrunk_q")[0].details == ()
        assert found(nv, "shrunk_q", UMBRELLAS)[0] == CHANGED.id


@BOTH
def test_what_0_1_0_had_shrunk_is_rolled_back(stores: Stores) -> None:
    """With what was written since, into the generation that 0.1.0 had left."""
    with stores.open() as nv:
        nv["shrunk_q"].upsert(CHANGED)
        nv["shrunk_q"].delete(["guide/0 ü"])
        report = nv.rollback("shrunk_q")
        assert (report.switched, report.brought, report.deleted) == (True, 1, 1)
    with stores.open() as nv:
        check_documents(nv, "shrunk_q", [CHANGED if i == 7 else guide(i) for i in range(1, 10)])
        assert nv["shrunk_q"].matrix().vectors.shape == (9, 384)
        assert found(nv, "shrunk_q", UMBRELLAS)[0] == CHANGED.id


@BOTH
def test_what_0_1_0_had_left_is_cleaned_up(stores: Stores) -> None:
    with stores.open() as nv:
        assert [each.role for each in nv.generations("shrunk_q")] == [GenerationRole.RETIRED, GenerationRole.LIVE]
        assert [each.removed for each in nv.cleanup("shrunk_q")] == [True]
        assert [each.role for each in nv.generations("shrunk_q")] == [GenerationRole.LIVE]
        assert nv.plan("shrunk_q")[0].action == "none"
        check_documents(nv, "shrunk_q", SHRUNK)


# ------------------------------------------------------------------ migrating


@pytest.mark.parametrize("name", GUIDES)
def test_more_dimensions_and_back(stores: Stores, name: str) -> None:
    longer = {"dimensions": 384, "previous": {"dimensions": 128}}
    with stores.open(name, **longer) as nv:
        plan = nv.plan_migration(name)
        assert (plan.way, plan.documents, plan.chunks) == (Way.EMBED, len(STORED), CHUNKS)
        report = nv.migrate(name)
        assert (report.switched, report.brought, report.failed) == (True, len(STORED), ())
        check_documents(nv, name, STORED)
        assert nv[name].matrix().vectors.shape == (CHUNKS, 384)
        assert found(nv, name)[0] == REPLACED.id
        nv[name].delete([REPLACED.id])
        back = nv.rollback(name)
        assert (back.switched, back.deleted) == (True, 1)
    with stores.open() as nv:
        check_documents(nv, name, [each for each in STORED if each.id != REPLACED.id])
        assert nv.status(name)[0].outdated == 0


@pytest.mark.parametrize(("name", "backend"), [("guide_q", "s"), ("guide_m", "q"), ("guide_s", "m")])
def test_to_another_backend_and_back(stores: Stores, name: str, backend: str) -> None:
    with stores.open() as nv:
        before = {hit.document_id: hit.score for hit in nv[name].search(QUESTION, limit=3)}
        home = nv.config.collections[name].backend
    with stores.open(name, backend=backend, previous={"backend": home}) as nv:
        assert nv.plan_migration(name).way is Way.COPY
        assert nv.migrate(name).switched
        check_documents(nv, name, STORED)
        after = {hit.document_id: hit.score for hit in nv[name].search(QUESTION, limit=3)}
        assert after == pytest.approx(before, abs=ROUNDING)
        assert nv[name].upsert(STORED).unchanged == CHUNKS
        nv[name].upsert(CHANGED)
        assert nv.rollback(name).brought == 1
    with stores.open() as nv:
        check_documents(nv, name, [CHANGED if each.id == CHANGED.id else each for each in STORED])


def test_to_another_model_and_back(stores: Stores) -> None:
    with stores.open("shrunk_q", embedder="pt", previous={"embedder": "e5"}) as nv:
        assert nv.plan_migration("shrunk_q").way is Way.EMBED
        assert nv.migrate("shrunk_q").switched
        check_documents(nv, "shrunk_q", SHRUNK)
        (live,) = [each for each in nv.generations("shrunk_q") if each.role is GenerationRole.LIVE]
        assert (live.generation, live.dimensions) == (3, 384)
        assert nv["shrunk_q"].search(SHRUNK[6].text, limit=1)[0].document_id == SHRUNK[6].id
        assert nv.rollback("shrunk_q").switched
    with stores.open() as nv:
        check_documents(nv, "shrunk_q", SHRUNK)
        assert nv["shrunk_q"].matrix().vectors.shape == (len(SHRUNK), 128)
