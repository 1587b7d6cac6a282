"""The kit cannot be weakened in silence."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from nestvec.errors import BackendRefused, NestvecError
from nestvec_testing import SAMPLE, AdapterConformance, EmbedderConformance
from nestvec_testing.adapters import CollectionChecks
from nestvec_testing.guard import checks_of, refused


def weaken(**attributes):
    return type("TestWeak", (AdapterConformance,), attributes)


def test_checks_cannot_be_replaced():
    with pytest.raises(TypeError, match=r"test_threshold.*excused"):
        weaken(test_threshold=lambda self, bench: None)
    with pytest.raises(TypeError, match="test_threshold"):
        weaken(test_threshold=None)


def test_fixtures_of_the_kit_cannot_be_replaced():
    for name in ("bench", "driver", "_excuses"):
        with pytest.raises(TypeError, match=name):
            weaken(**{name: None})


def test_checks_cannot_be_replaced_by_a_mixin():
    mixin = type("Mixin", (), {"test_threshold": lambda self, bench: None})
    with pytest.raises(TypeError, match="test_threshold"):
        type("TestWeak", (mixin, AdapterConformance), {})


def test_excuses_need_a_known_name_and_a_reason():
    with pytest.raises(TypeError, match=r"test_missing.*no test of the kit"):
        weaken(excused={"test_missing": "reason"})
    with pytest.raises(TypeError, match="without a reason"):
        weaken(excused={"test_threshold": " "})
    assert weaken(excused={"test_threshold": "reason"}).excused


def test_xfail_marks_are_refused():
    with pytest.raises(TypeError, match="xfail"):
        weaken(pytestmark=pytest.mark.xfail)
    assert weaken(pytestmark=[pytest.mark.soak])


def test_own_checks_may_be_added():
    assert weaken(test_of_my_own=lambda self, bench: None, backend=None, helper=1)


def test_every_check_is_in_the_kit():
    assert len(checks_of(AdapterConformance)) >= 50
    assert len(checks_of(EmbedderConformance)) >= 15
    assert set(checks_of(CollectionChecks)) < set(checks_of(AdapterConformance))


def test_every_check_says_what_it_checks():
    for kit in (AdapterConformance, EmbedderConformance):
        for name, check in checks_of(kit).items():
            assert check.__doc__, name


def test_refused_accepts_the_right_error_only():
    with refused(BackendRefused, "rule") as caught:
        raise BackendRefused("because")
    assert caught.text == "because"
    with (
        pytest.raises(AssertionError, match="rule: expected BackendRefused, but nothing"),
        refused(BackendRefused, "rule"),
    ):
        pass
    with pytest.raises(AssertionError, match=r"vendor exception escapes\): 'x'"), refused(NestvecError, "rule"):
        raise KeyError("x")


SUITE = """
    import pytest
    from nestvec_testing import SAMPLE, AdapterConformance, BackendUnderTest
    from nestvec_testing.mutants import ADAPTERS

    BROKEN = next(mutant for mutant in ADAPTERS if mutant.name == "IgnoresThreshold")

    class TestBroken(AdapterConformance):
        @pytest.fixture
        def backend(self):
            return BROKEN.subject

    class TestExcused(TestBroken):
        excused = {"test_threshold": "it has no thresholds"}

    class TestNeedless(AdapterConformance):
        excused = {"test_threshold": "it says it has no thresholds"}

        @pytest.fixture
        def backend(self):
            return BackendUnderTest("memory")

    class TestForgotten(AdapterConformance):
        pass
"""


def test_excused_checks_run_and_must_fail(tmp_path):
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(SUITE))
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-k", "test_threshold", "-p", "no:cacheprovider", "."]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    lines = {
        line.split("::")[1]: line for line in output.splitlines() if "test_threshold[sync]" in line and "::" in line
    }
    assert lines["TestBroken"].startswith("FAILED")
    assert lines["TestExcused"].startswith("XFAIL")
    assert "it has no thresholds" in lines["TestExcused"]
    assert lines["TestNeedless"].startswith("FAILED")
    assert lines["TestForgotten"].startswith("ERROR")
    assert "must define a fixture `backend`" in output
    assert "a threshold lets" in output


def test_the_sample_has_checks_of_the_kit_only():
    assert set(checks_of(AdapterConformance)) > SAMPLE
