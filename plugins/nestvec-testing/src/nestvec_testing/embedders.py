"""The conformance kit for embedders; see `EmbedderConformance`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pytest

from nestvec.contract import Encode
from nestvec.encoding.vectors import normalize, widen
from nestvec.errors import ConfigError, NestvecError, Unsupported
from nestvec.types import Purpose
from nestvec_testing.embedder_bench import EmbedderBench, EmbedderUnderTest, single, whole
from nestvec_testing.guard import Guarded, refused
from nestvec_testing.loop import DRIVERS, Driver
from nestvec_testing.suspending import never_suspends

TEXTS: Final = (
    "The river carries cold water from the mountains to the sea.",
    "Annual leave is thirty days; ask your manager before you book.",
    "Die Rechnung ist innerhalb von vierzehn Tagen zu bezahlen.",
    "def add(a, b):\n    return a + b",
    "東京は日本の首都です。",
    "She tuned the violin in the empty concert hall.",
)


class EmbedderConformance(Guarded):
    """Everything that an embedder has to keep. Subclass it as `Test…` and provide the fixture `embedder`:

        class TestAcme(EmbedderConformance):
            @pytest.fixture
            def embedder(self):
                return EmbedderUnderTest("acme", {"model": "acme-1"})

    Each test runs with the synchronous and the asynchronous form. `excused` maps the names of tests that this
    embedder cannot pass to the reason; they still run, and must fail.
    """

    @pytest.fixture
    def embedder(self) -> EmbedderUnderTest:
        """To be provided by the subclass."""
        raise NotImplementedError(
            f"{type(self).__name__} must define a fixture `embedder` that returns a nestvec_testing.EmbedderUnderTest"
        )

    @pytest.fixture(params=DRIVERS)
    def driver(self, request: pytest.FixtureRequest) -> Driver:
        """Which form of the embedder."""
        chosen: Driver = request.param
        return chosen

    @pytest.fixture
    def bench(self, embedder: EmbedderUnderTest, driver: Driver) -> Iterator[EmbedderBench]:
        """The embedder, ready for the test, and closed after it."""
        with EmbedderBench(embedder, driver) as bench:
            yield bench

    # ------------------------------------------------------------ what is declared

    def test_capabilities_hold_together(self, bench: EmbedderBench) -> None:
        """Declared without opening anything: sizes, tasks and purposes fit each other."""
        model = bench.model
        assert model.model.strip(), "a model has a canonical name"
        sizes = 1 <= model.min_dimensions <= model.dimensions
        assert sizes, f"dimensions go from 1 to full: {model.min_dimensions} to {model.dimensions}"
        assert model.batch >= 1, "a request holds at least one chunk"
        for purpose, pair in model.purposes.items():
            for task in (pair.index, pair.query):
                known = task is None or task in model.tasks
                assert known, f"purpose {purpose.value!r} uses tasks that the model has; {task!r} is none of them"
        unknown = set(model.prompts) - set(model.tasks)
        assert not unknown, f"prompts belong to tasks that the model has; {unknown} are none of them"
        short = len(model.host) <= 200 and model.host.isprintable() and model.host == model.host.strip()
        assert short, f"a host has a name of at most 200 printable characters, not {model.host!r:.300}"
        assert bench.model == model, "capabilities are the same whenever they are asked for"

    def test_rotation_fits_the_capabilities(self, bench: EmbedderBench) -> None:
        """A nested model brings its rotation: orthogonal, of full size; others bring none."""
        rotation = bench.inner.rotation()
        if bench.model.rotation is None:
            assert rotation is None, "an embedder without a declared rotation offers none"
            return
        full = bench.model.dimensions
        assert rotation is not None, "an embedder offers the rotation that its capabilities name"
        assert rotation.shape == (full, full), f"a rotation is square and of full size, not {rotation.shape}"
        off = float(np.abs(rotation @ rotation.T - np.eye(full)).max())
        assert off < 1e-3, f"a rotation is orthogonal; rows times columns are off by {off}"

    # ------------------------------------------------------------ the shape of replies

    def test_shape_and_type(self, bench: EmbedderBench) -> None:
        """float32, contiguous, one group for each document, one row for each span, the wanted size."""
        model = bench.model
        for size in sorted({model.min_dimensions, (model.min_dimensions + model.dimensions) // 2, model.dimensions}):
            groups = (whole(TEXTS[:3]), single(TEXTS[3]), whole(TEXTS[4:]))
            answer = bench.reply(Encode(groups, bench.passage, size))
            wide = model.dimensions if model.rotation else size
            assert len(answer.vectors) == 3, f"one reply for each group: 3, not {len(answer.vectors)}"
            for group, rows in zip(groups, answer.vectors, strict=True):
                assert rows is not None, f"group {group.key} can be embedded"
                assert rows.dtype == np.float32, f"vectors are float32, not {rows.dtype}"
                shape = (len(group.spans), wide)
                assert rows.shape == shape, f"one row for each span, of the size asked for: {shape}, not {rows.shape}"
                assert rows.flags.c_contiguous, "vectors are contiguous"
                assert np.isfinite(rows).all(), "vectors are finite"

    def test_normalized_where_declared(self, bench: EmbedderBench) -> None:
        """Length 1, at every size, if the capabilities say normalized: the core would scale them, one by one."""
        if not bench.model.normalized:
            return
        for size in {bench.model.min_dimensions, bench.model.dimensions}:
            answer = bench.reply(Encode(tuple(single(text) for text in TEXTS), bench.passage, size))
            rows = np.concatenate([part for part in answer.vectors if part is not None])
            lengths = np.linalg.norm(rows, axis=1)
            off = float(np.abs(lengths - 1).max())
            assert off < 1e-3, f"vectors are normalised to length 1 at {size} dimensions; one is off by {off}"

    def test_nothing_to_embed(self, bench: EmbedderBench) -> None:
        """No groups, no vectors, no error."""
        answer = bench.reply(Encode((), bench.passage, bench.model.dimensions))
        assert tuple(answer.vectors) == (), f"no groups are answered with no vectors, not {answer.vectors}"
        assert tuple(answer.failures) == (), f"no groups, no failures, not {answer.failures}"

    # ------------------------------------------------------------ what vectors depend on

    def test_order_is_kept(self, bench: EmbedderBench) -> None:
        """The rows belong to their texts, whatever the lengths and the order of groups and spans."""
        texts = [*TEXTS, "short", "long " * 20, *(f"number {i}" for i in range(6))]
        alone = np.concatenate([bench.rows([text], bench.passage) for text in texts])
        off = float(np.abs(bench.rows(texts, bench.passage) - alone).max())
        assert off <= self._tolerance(bench), f"order is kept: each row belongs to its text; one is off by {off}"
        reverse = bench.rows(texts[::-1], bench.passage)[::-1]
        off = float(np.abs(reverse - alone).max())
        assert off <= self._tolerance(bench), f"order is kept also in reverse; a row is off by {off}"
        groups = Encode((whole(texts[:4]), whole(texts[4:])), bench.passage, bench.model.dimensions)
        parts = bench.encode(groups).vectors
        spans = np.concatenate([part for part in parts if part is not None])
        off = float(np.abs(spans - alone).max())
        assert off <= self._tolerance(bench), f"a span is embedded on its own unless late; a row is off by {off}"

    def test_deterministic(self, bench: EmbedderBench) -> None:
        """The same text gives the same vector."""
        first, second = bench.rows(TEXTS, bench.passage), bench.rows(TEXTS, bench.passage)
        off = float(np.abs(first - second).max())
        assert off <= self._tolerance(bench), f"the same text gives the same vector; it is off by {off}"

    def test_texts_matter(self, bench: EmbedderBench) -> None:
        """Different texts have different vectors."""
        rows = normalize(bench.rows(TEXTS, bench.passage))
        products = np.dot(rows, rows.T)
        np.fill_diagonal(products, -1)
        assert products.max() < 0.9999, "different texts have different vectors"

    def test_tasks_matter(self, bench: EmbedderBench) -> None:
        """Where the tasks of a purpose differ, a question is not embedded like a passage."""
        for purpose, pair in bench.model.purposes.items():
            passages, questions = bench.rows(TEXTS, pair.index), bench.rows(TEXTS, pair.query)
            off = float(np.abs(passages - questions).max())
            if pair.index != pair.query:
                rule = f"{purpose.value}: {pair.index} and {pair.query} give different vectors (query is not passage)"
                assert off > 10 * self._tolerance(bench), f"{rule}, but they are equal"
            else:
                assert off <= self._tolerance(bench), f"{purpose.value}: one task gives one vector; it is off by {off}"

    def test_prefixes_are_prefixes(self, bench: EmbedderBench) -> None:
        """A shorter vector is the renormalised beginning of the full one; other sizes are refused."""
        model = bench.model
        full = bench.rows(TEXTS, bench.passage)
        middle = (model.min_dimensions + model.dimensions) // 2
        for size in sorted({model.min_dimensions, middle, model.dimensions}):
            rows = bench.rows(TEXTS, bench.passage, size)
            wanted = normalize(full[:, :size]) if model.normalized else full[:, :size]
            off = float(np.abs(rows - wanted).max())
            how = "renormalised beginning" if model.normalized else "beginning"
            rule = f"{size} dimensions are the {how} of all {full.shape[1]}"
            assert off <= max(self._tolerance(bench), 1e-4), f"{rule}; a component is off by {off}"
        client = bench.client()
        for size in (0, model.min_dimensions - 1, model.dimensions + 1):
            with refused((Unsupported, ConfigError), f"{size} dimensions"):
                bench.loop.settle(client.embed(["text"], dimensions=size))
        bench.loop.settle(client.close())

    def test_unknown_tasks_are_refused(self, bench: EmbedderBench) -> None:
        """Before anything is embedded."""
        client = bench.client()
        with refused(Unsupported, "a task that the model does not have"):
            bench.loop.settle(client.embed(["text"], task="no.such.task"))
        bench.loop.settle(client.close())

    # ------------------------------------------------------------ late chunking

    def test_late_chunking(self, bench: EmbedderBench) -> None:
        """Neighbours matter, within one document only; a single chunk is what it is without. Or it is refused."""
        if not bench.model.late_chunking:
            with refused(Unsupported, "late chunking, which the capabilities do not offer"):
                bench.rows(TEXTS[:2], bench.passage, together=True)
            return
        task = bench.passage
        plain, late = bench.rows(TEXTS[:3], task), bench.rows(TEXTS[:3], task, together=True)
        off = float(np.abs(plain - late).max())
        assert off > 10 * self._tolerance(bench), (
            "under late chunking a chunk depends on its neighbours, but it does not"
        )
        other = bench.rows([TEXTS[0], *TEXTS[3:5]], task, together=True)
        moved = float(np.abs(other[0] - late[0]).max())
        assert moved > 10 * self._tolerance(bench), "under late chunking other neighbours give other vectors"
        one = bench.rows(TEXTS[:1], task, together=True)
        off = float(np.abs(one - bench.rows(TEXTS[:1], task)).max())
        limit = max(self._tolerance(bench), 1e-3)
        assert off <= limit, f"a single chunk has no neighbours: late and plain agree; a component is off by {off}"

    def test_documents_do_not_see_each_other(self, bench: EmbedderBench) -> None:
        """Late chunking of several documents in one request is that of each alone."""
        if not bench.model.late_chunking:
            return
        groups = (whole(TEXTS[:3]), whole(TEXTS[3:]))
        size = bench.model.dimensions
        together = bench.encode(Encode(groups, bench.passage, size, late=True)).vectors
        for group, rows in zip(groups, together, strict=True):
            (alone,) = bench.encode(Encode((group,), bench.passage, size, late=True)).vectors
            assert rows is not None, f"{group.key} can be embedded"
            assert alone is not None, f"{group.key} can be embedded alone"
            off = float(np.abs(rows - alone).max())
            assert off <= self._tolerance(bench), f"no two documents share a context; a vector is off by {off}"

    # ------------------------------------------------------------ rough treatment

    def test_texts_of_every_kind(self, bench: EmbedderBench) -> None:
        """Unicode, control characters, one letter, very long: embedded, or that group refused with a reason."""
        beyond = "word " * (2 * min(bench.model.max_tokens or 512, 4096))
        texts = [
            "ünï 👋🏽 e\u0301 \u202e",
            "nul\x00byte",
            "\ud7ff\U0010ffff",
            "a",
            "¿",
            "x" * 1000,
            beyond,
            TEXTS[0],
        ]
        request = Encode(tuple(single(text) for text in texts), bench.passage, bench.model.dimensions)
        answer = bench.encode(request)
        refused_groups = {failure.group for failure in answer.failures}
        for number, rows in enumerate(answer.vectors):
            settled = (rows is None) == (number in refused_groups)
            assert settled, f"text {texts[number][:12]!r} is either embedded or refused with a reason"
        assert len(texts) - 1 not in refused_groups, "an ordinary text is embedded beside texts that are refused"
        for failure in answer.failures:
            assert isinstance(failure.error, NestvecError), f"failures are nestvec's errors, not {failure.error!r}"

    def test_threads_share_an_embedder(self, bench: EmbedderBench) -> None:
        """Four at a time: each gets its own answer."""
        wanted = bench.rows(TEXTS, bench.passage)

        def work(number: int) -> float:
            text = number % len(TEXTS)
            return float(np.abs(bench.rows([TEXTS[text]], bench.passage)[0] - wanted[text]).max())

        with ThreadPoolExecutor(4) as pool:
            worst = max(pool.map(work, range(12)))
        assert worst <= self._tolerance(bench), (
            f"in several threads each text gets its own vector; one is off by {worst}"
        )

    def test_counting_tokens(self, bench: EmbedderBench) -> None:
        """Where there is a counter: whole numbers that grow with the text."""
        count = bench.inner.count_tokens()
        if count is None:
            return
        one, many = count("word"), count("word " * 50)
        assert isinstance(one, int), f"tokens are counted in whole numbers, not {one!r}"
        assert 0 < one < many, f"a longer text has more tokens: {one} and {many}"

    def test_every_purpose_works(self, bench: EmbedderBench) -> None:
        """Each purpose that the model offers can be embedded for, on both sides."""
        for purpose in Purpose:
            pair = bench.model.purposes.get(purpose)
            for task in (pair.index, pair.query) if pair else ():
                shape = bench.rows(TEXTS[:1], task).shape
                assert shape == (1, bench.model.dimensions), f"purpose {purpose.value}: task {task!r} gives {shape}"

    def test_the_blocking_form_never_suspends(self, bench: EmbedderBench) -> None:
        """Every method of what `open` returns comes to its end without an event loop."""
        inner = bench.inner
        if bench.native:
            return  # what `open_async` returns is awaited
        request = Encode((single(TEXTS[0]),), bench.passage, bench.model.dimensions)
        never_suspends(inner.encode, widen(request, bench.model))
        never_suspends(inner.close)

    def test_closing_twice(self, bench: EmbedderBench) -> None:
        """No error."""
        inner = bench.inner
        bench.rows(TEXTS[:1], bench.passage)
        for _ in range(2):
            bench.loop.ask(bench.native, inner.close)

    def _tolerance(self, bench: EmbedderBench) -> float:
        return bench.subject.tolerance
