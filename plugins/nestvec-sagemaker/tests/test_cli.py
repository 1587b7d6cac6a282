"""What can go wrong, at the command line: exit code 1, one message that says what to do, no secret, no traceback."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from nestvec._cli import main
from nestvec.runtime import Runtime
from nestvec_sagemaker.testing import AwsError, ModelFails
from nestvec_testing.emulators.faults import Cut, Delay, HttpStatus, Malformed
from nestvec_testing.registry import test_registry

CONFIG = """
[backends.store]
use = "memory"
store = "{store}"
[embedders.model]
use = "sagemaker"
backoff = 0.0
attempts = 2
{options}
[collections.docs]
dimensions = 64
"""


def toml(options):
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in options.items() if value is not None)


class Shell:
    def __init__(self, folder, emulator):
        self._folder, self._emulator = folder, emulator
        self.options = dict(emulator.options)
        (folder / "in.jsonl").write_text('{"id": "leave", "text": "Annual leave is thirty days."}\n')

    def __call__(self, *arguments):
        config = self._folder / "nestvec.toml"
        config.write_text(CONFIG.format(store=self._folder, options=toml(self.options)))
        runtime = Runtime(test_registry())
        result = CliRunner().invoke(main, ["-c", str(config), *arguments], obj=runtime, prog_name="nestvec")
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result


@pytest.fixture
def shell(emulator, tmp_path):
    from nestvec_testing import memory

    made = Shell(tmp_path, emulator)
    assert made("apply").exit_code == 0
    yield made
    memory._STORES.pop(str(tmp_path), None)


def always(fault):
    return lambda shell, emulator, monkeypatch: emulator.inject(fault, times=None)


def setting(**options):
    return lambda shell, emulator, monkeypatch: shell.options.update(options)


def expired(shell, emulator, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", emulator.settings.expired)


def none(shell, emulator, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)


def slow(shell, emulator, monkeypatch):
    shell.options["timeout"] = 0.2
    emulator.inject(Delay(seconds=30), times=None)


def unreachable(shell, emulator, monkeypatch):
    shell.options["endpoint_url"] = "http://127.0.0.1:9"


HERE = "the SageMaker endpoint 'jina' in eu-west-1"
#: How it comes about; what happened and what to do, in words; requests sent. None: what is halved is counted elsewhere.
CASES = {
    "another name": (
        setting(endpoint_name="jna"),
        r"endpoint 'jna' in eu-west-1 does not exist \(it says: Endpoint jna .* not found.*check endpoint_name",
        1,
    ),
    "another region": (setting(region="us-east-1"), r"belongs to another region than us-east-1.*set region", 1),
    "no region": (setting(region=None), r"region: none is set, neither here nor in AWS_DEFAULT_REGION.*set region", 0),
    "expired credentials": (expired, rf"{HERE}: the default credentials expired.*renew them \(such as with", 1),
    "no credentials": (none, r"no AWS credentials found \(environment, AWS files.*set AWS_ACCESS_KEY_ID and", 0),
    "access denied": (
        always(AwsError(code="AccessDeniedException", status=403)),
        rf"{HERE}: the default credentials may not use it.*allow sagemaker:InvokeEndpoint",
        1,
    ),
    "the model fails": (
        always(ModelFails(original=500, message="CUDA out of memory")),
        rf"the model at {HERE} failed with status 500 \(it says: CUDA out of memory\).*log is in .*/Endpoints/jina",
        2,
    ),
    "what the model needs fails": (
        always(ModelFails(original=424)),
        rf"the model at {HERE} failed with status 424.*log is in CloudWatch",
        2,
    ),
    "the model refuses the text": (
        always(ModelFails(original=400, message="bad")),
        rf"document '.*': the model at {HERE} refused the text with status 400 \(it says: bad\).*smaller chunking.size",
        None,
    ),
    "throttled": (
        always(AwsError(code="ThrottlingException", message="Rate exceeded")),
        rf"{HERE} is throttled \(it says: Rate exceeded\); lower concurrency, raise deadline",
        2,
    ),
    "loading": (
        always(AwsError(code="ModelNotReadyException", status=429)),
        rf"{HERE} is still loading its model.*; wait, or raise deadline",
        2,
    ),
    "AWS fails": (always(HttpStatus(status=503)), rf"{HERE} failed with .* \(status 503\).*; try again, or look at", 2),
    "too slow": (slow, rf"{HERE} did not answer within 0.2 seconds; raise timeout, or set a smaller batch", None),
    "too large": (
        always(HttpStatus(status=413)),
        rf"document '.*': {HERE} takes no request of this size.*smaller chunking.size",
        None,
    ),
    "cut off": (always(Cut()), r"the connection to http://127.0.0.1:\d+ .*check", 2),
    "nobody there": (unreachable, r"http://127.0.0.1:9 cannot be reached.*check region, endpoint_url, the network", 0),
    "malformed": (always(Malformed()), rf"{HERE} answered something that is not whole JSON.*is it a container of", 2),
    "another form": (
        always(Malformed(content=b'{"embeddings": []}')),
        rf"{HERE} answered JSON of another form than .*is it a container of a jina embedding model",
        2,
    ),
}


@pytest.mark.parametrize("command", ["doctor", "ingest"])
@pytest.mark.parametrize("case", CASES)
def test_one_message_that_says_what_to_do(shell, emulator, monkeypatch, tmp_path, kit, case, command):
    prepare, words, requests = CASES[case]
    prepare(shell, emulator, monkeypatch)
    done = shell(command, *(["docs", str(tmp_path / "in.jsonl")] if command == "ingest" else []))
    assert done.exit_code == 1
    told = [line for line in done.output.splitlines() if re.search(words, line)]
    assert len(told) == 1, done.output
    assert sum(line.startswith(("FAIL", "error:")) for line in done.output.splitlines()) == 1
    assert "Traceback" not in done.output
    assert not [secret for secret in kit.SECRETS if secret in done.output]
    if requests is not None:
        assert len(emulator.exchanges) == requests, "a request is repeated by the embedder alone: attempts = 2"


@pytest.mark.parametrize("command", ["doctor", "ingest"])
def test_programs_get_the_same_as_json(shell, emulator, monkeypatch, tmp_path, command):
    expired(shell, emulator, monkeypatch)
    done = shell(command, *(["docs", str(tmp_path / "in.jsonl")] if command == "ingest" else []), "--json")
    assert done.exit_code == 1
    assert "the default credentials expired" in json.dumps(json.loads(done.stdout))


def test_nothing_is_wrong(shell, tmp_path):
    assert shell("ingest", "docs", str(tmp_path / "in.jsonl")).exit_code == 0
    done = shell("doctor")
    assert done.exit_code == 0
    assert "jina-embeddings-v3 answers: 1024 dimensions, 5 tasks" in done.output
