"""Everything that can go wrong between boto3 and the model: what is repeated, what is fatal, who is named."""

from __future__ import annotations

import json
import socket
import time
import traceback

import numpy as np
import pytest

from nestvec.errors import (
    ConfigError,
    EmbedderDenied,
    EmbedderError,
    EmbedderInvalidReply,
    EmbedderUnavailable,
    SecretError,
)
from nestvec_sagemaker.testing import AwsError, ModelFails
from nestvec_testing.emulators.faults import Cut, CutShort, Delay, Fault, HttpStatus, Malformed
from nestvec_testing.emulators.jina import (
    DuplicateIndex,
    Html,
    NotFiniteVectors,
    OtherDimensions,
    Reordered,
    WrongCount,
    plain_vectors,
)

PASSING = [
    AwsError(code="ThrottlingException"),
    AwsError(code="ModelNotReadyException", status=429),
    HttpStatus(status=429),
    HttpStatus(status=500),
    HttpStatus(status=503),
    HttpStatus(status=530),
    ModelFails(original=500),
    ModelFails(original=503),
    ModelFails(original=424),
    ModelFails(original=429),
    ModelFails(original=0),
    Cut(),
    Cut(applied=True),
    CutShort(),
    Malformed(),
    Html(),
    Html(status=502),
    WrongCount(by=-1),
    WrongCount(by=1),
    DuplicateIndex(),
    NotFiniteVectors(),
    OtherDimensions(),
    OtherDimensions(index=1),
]


def wanted(kit):
    return plain_vectors(kit.TEXTS, task="retrieval.passage", dimensions=64)


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_what_passes_is_repeated_by_one_layer(open_embedder, emulator, kit, fault):
    emulator.inject(fault)
    reply = open_embedder().encode(kit.ask(*kit.documents()))
    np.testing.assert_allclose(np.concatenate(reply.vectors), wanted(kit), atol=1e-6)
    assert (reply.failures, reply.usage.retries, reply.usage.requests) == ((), 1, 2)
    assert len(emulator.exchanges) == 2, "botocore repeats nothing"


def test_an_index_counts_more_than_the_order(open_embedder, emulator, kit):
    emulator.inject(Reordered())
    reply = open_embedder().encode(kit.ask(*kit.documents()))
    np.testing.assert_allclose(np.concatenate(reply.vectors), wanted(kit), atol=1e-6)
    assert reply.usage.retries == 0


def test_attempts_are_the_limit(open_embedder, emulator, kit):
    emulator.inject(AwsError(code="ThrottlingException", message="Rate exceeded"), times=None)
    with pytest.raises(EmbedderUnavailable, match=r"'jina' in eu-west-1 is throttled \(it says: Rate exceeded\)"):
        open_embedder(attempts=4).encode(kit.ask(*kit.documents()))
    assert len(emulator.exchanges) == 4


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
@pytest.mark.parametrize("place", ["environment", "file"])
def test_botocore_repeats_nothing_whatever_its_own_settings_are(
    open_embedder, emulator, aws, kit, monkeypatch, mode, place
):
    if place == "environment":
        monkeypatch.setenv("AWS_RETRY_MODE", mode)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    else:
        monkeypatch.delenv("AWS_MAX_ATTEMPTS")
        (aws / "config").write_text(f"[default]\nretry_mode = {mode}\nmax_attempts = 7\n")
    emulator.inject(AwsError(code="ThrottlingException", message="Rate exceeded"), times=None)
    with pytest.raises(EmbedderUnavailable, match="throttled"):
        open_embedder(attempts=3).encode(kit.ask(*kit.documents()))
    assert len(emulator.exchanges) == 3


def test_the_deadline_is_a_limit_too(open_embedder, emulator, kit):
    emulator.inject(HttpStatus(status=503), times=None)
    with pytest.raises(EmbedderUnavailable):
        open_embedder(deadline=1e-9).encode(kit.ask(*kit.documents()))
    assert len(emulator.exchanges) == 1


def test_no_pause_leads_beyond_the_deadline(open_embedder, emulator, kit):
    emulator.inject(HttpStatus(status=503), times=None)
    started = time.monotonic()
    with pytest.raises(EmbedderUnavailable):
        open_embedder(deadline=20.0, backoff=1000.0).encode(kit.ask(*kit.documents()))
    assert len(emulator.exchanges) == 1
    assert time.monotonic() - started < 15


def test_one_batch_may_fail_alone(open_embedder, emulator, kit):
    emulator.inject(HttpStatus(status=503), containing="River", times=None)
    reply = open_embedder(batch=1, attempts=2).encode(kit.ask(*kit.documents("River", "Lake")))
    assert [failure.group for failure in reply.failures] == [0]
    assert isinstance(reply.failures[0].error, EmbedderUnavailable)
    assert "document 'doc-0'" in str(reply.failures[0].error)


# ---------------------------------------------------------------- fatal, in plain words


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (AwsError(code="AccessDeniedException", status=403), "may not use it.*allow sagemaker:InvokeEndpoint"),
        (AwsError(code="ExpiredTokenException", status=403), "the default credentials expired.*renew them"),
        (AwsError(code="InvalidSignatureException", status=403), "does not accept the default.*check access key"),
        (AwsError(code="UnrecognizedClientException", status=403), "does not accept the default.*profile"),
        (
            AwsError(code="ValidationError", message="Endpoint x of account 1 not found."),
            "does not exist.*endpoint_name",
        ),
        (AwsError(code="ValidationException", message="Endpoint x could not be found"), "does not exist.*region"),
        (AwsError(code="ValidationError", message="something"), r"refused with ValidationError \(status 400\)"),
        (AwsError(code="", status=404, message="no route"), "status 404"),
        (Html(status=403), "may not use it"),
        (ModelFails(original=404), "status 404.*is it a jina embedding model"),
        (ModelFails(original=403), "status 403.*is it a jina embedding model"),
    ],
    ids=str,
)
def test_what_no_text_can_help_ends_everything_at_once(open_embedder, emulator, kit, fault, words):
    emulator.inject(fault, times=None)
    with pytest.raises(EmbedderDenied, match=words) as caught:
        open_embedder().encode(kit.ask(*kit.documents()))
    assert len(emulator.exchanges) == 1
    assert "endpoint 'jina' in eu-west-1" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"endpoint_name": "jna"}, "endpoint 'jna' in eu-west-1 does not exist"),
        ({"region": "us-east-1"}, "belongs to another region than us-east-1.*set region"),
        ({"model": "jina-embeddings-v5-text-small"}, "has no parameter"),
    ],
)
def test_wrong_options(open_embedder, emulator, kit, options, words):
    if "model" in options:
        emulator.dial(endpoints={"jina": "jina-embeddings-v2-base-en"})
        reply = open_embedder(**options).encode(kit.ask(*kit.documents()[:1]))
        assert words in str(reply.failures[0].error)
        return
    with pytest.raises(EmbedderDenied, match=words):
        open_embedder(**options).encode(kit.ask(*kit.documents()))


def test_a_missing_inference_component(open_embedder, emulator, kit):
    emulator.dial(components={"v3": "jina-embeddings-v3"})
    with pytest.raises(EmbedderDenied, match="Inference Component Name header is required"):
        open_embedder().encode(kit.ask(*kit.documents()))


def test_an_expired_session_token(open_embedder, emulator, kit, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", emulator.settings.expired)
    with pytest.raises(EmbedderDenied, match="expired"):
        open_embedder().encode(kit.ask(*kit.documents()))


def test_an_unknown_access_key(open_embedder, kit, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    with pytest.raises(EmbedderDenied, match="does not accept the default credentials"):
        open_embedder().encode(kit.ask(*kit.documents()))


def test_no_credentials_at_all(open_embedder, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    with pytest.raises(SecretError, match=r"no AWS credentials found.*AWS_ACCESS_KEY_ID"):
        open_embedder()


def test_half_of_the_credentials(open_embedder, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SecretError, match="Partial credentials"):
        open_embedder()


def test_credentials_that_cannot_be_got(open_embedder, aws):
    (aws / "config").write_text(f"[profile broken]\ncredential_process = {aws}/no-such-program\n")
    with pytest.raises(SecretError, match=r"credentials cannot be used.*no-such-program"):
        open_embedder(profile="broken")


def test_no_region(open_embedder):
    with pytest.raises(ConfigError, match="region: none is set"):
        open_embedder(region=None)


def test_no_such_profile(open_embedder):
    with pytest.raises(ConfigError, match="no profile 'nobody'"):
        open_embedder(profile="nobody")


def test_nobody_there(open_embedder, kit):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EmbedderUnavailable, match=r"cannot be reached.*check region, endpoint_url"):
            open_embedder(endpoint_url=url).encode(kit.ask(*kit.documents()))


def test_credentials_that_cannot_be_renewed(open_embedder, aws, kit, tmp_path):
    program = tmp_path / "credentials-program"
    expires = "2001-01-01T00:00:00Z"
    made = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", "Expiration": expires}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(made)}'\n")
    program.chmod(0o700)
    (aws / "config").write_text(f"[profile passing]\ncredential_process = {program}\n")
    with pytest.raises((EmbedderDenied, SecretError), match=r"profile 'passing' cannot be renewed.*log in again"):
        open_embedder(profile="passing").encode(kit.ask(*kit.documents()))


# ---------------------------------------------------------------- the guilty text


@pytest.mark.parametrize("original", [400, 413, 422])
def test_the_guilty_text_is_found_and_named(open_embedder, emulator, kit, original):
    emulator.inject(ModelFails(original=original, message="too long"), containing="POISON", times=None)
    documents = [kit.group(f"doc-{i}", f"text {i} POISON" if i in (11, 40) else f"text {i}", "more") for i in range(64)]
    reply = open_embedder(batch=32).encode(kit.ask(*documents))
    assert sorted(failure.group for failure in reply.failures) == [11, 40]
    for failure in reply.failures:
        assert f"document 'doc-{failure.group}'" in str(failure.error)
        assert "too long" in str(failure.error)
        assert "chunking.size" in str(failure.error)
        assert failure.span == 0
    assert sum(rows is not None for rows in reply.vectors) == 62


def test_a_text_over_the_models_limit_is_named(open_embedder, emulator, kit):
    emulator.dial(max_tokens=100)
    reply = open_embedder().encode(kit.ask(*kit.documents("fine", "1" * 200)))
    assert [failure.group for failure in reply.failures] == [1]
    assert "has 202 tokens; the model takes 100" in str(reply.failures[0].error)


class NanForPoison(Fault):
    async def _reply(self, course):
        reply = await course.answer()
        body, sent = json.loads(reply.body), json.loads(course.raw)
        for item, each in zip(body["data"], sent["data"], strict=True):
            if "POISON" in each["text"]:
                item["embedding"][3] = float("nan")
        return reply.with_body(200, json.dumps(body).encode())


def test_a_text_that_becomes_nan_is_named(open_embedder, emulator, kit):
    emulator.inject(NanForPoison(), times=None)
    reply = open_embedder().encode(kit.ask(*kit.documents("one", "two POISON", "three", "four")))
    assert [failure.group for failure in reply.failures] == [1]
    assert isinstance(reply.failures[0].error, EmbedderInvalidReply)
    assert "NaN or infinity" in str(reply.failures[0].error)


@pytest.mark.parametrize(
    "fault",
    [Delay(seconds=30), ModelFails(original=0, message="Your invocation timed out"), ModelFails(original=504)],
    ids=str,
)
def test_what_takes_too_long_is_halved(open_embedder, emulator, kit, fault):
    emulator.inject(fault)
    reply = open_embedder(timeout=0.5).encode(kit.ask(*kit.documents()))
    assert reply.failures == ()
    emulator.plan.clear()
    assert sorted(len(each.texts) for each in emulator.journal.requests) == [2, 2, 4]


# ---------------------------------------------------------------- invalid replies


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>login</html>", "HTML instead of JSON"),
        (b"", "not whole JSON"),
        (b"\xff\xfe", "not whole JSON"),
        (b"[]", "another form"),
        (b'{"embeddings": []}', "another form"),
        (b'{"data": {}}', "another form"),
        (b'{"data": []}', "0 vectors to 1 texts"),
        (b'{"data": [[1, 2, 3]]}', "3 numbers; 2 dimensions"),
        (b'{"data": [[]]}', "0 numbers; 2 dimensions"),
        (b'{"data": [{"vector": [1, 2]}]}', "another form"),
        (b'{"data": ["AAAA"]}', "a str, not a list"),
        (b'{"data": [[1, null]]}', "something else than numbers"),
        (b'{"data": [["1", "2"]]}', "something else than numbers"),
        (b'{"data": [[true, false]]}', "something else than numbers"),
        (b'{"data": [[[1], [2]]]}', "something else than numbers"),
        (b'{"data": [[[1], 2]]}', "hold lists"),
        (b'{"data": [[1, NaN]]}', "NaN or infinity"),
        (b'{"data": [[1, 1e39]]}', "NaN or infinity"),
        (b'{"data": [[1, 1e999]]}', "NaN or infinity"),
        (b'{"data": [{"index": "0", "embedding": [1, 2]}]}', "another form"),
        (b'{"data": [{"index": true, "embedding": [1, 2]}]}', "another form"),
        (b'{"data": [{"index": 1, "embedding": [1, 2]}]}', "one text twice"),
        (b'{"data": [[1, 2]], "usage": 7}', "another form"),
    ],
    ids=lambda value: value.decode("latin-1") if isinstance(value, bytes) else "",
)
def test_invalid_replies_say_what_is_wrong(open_embedder, emulator, kit, content, words):
    emulator.inject(Malformed(content=content), times=None)
    try:
        reply = open_embedder(attempts=2).encode(kit.ask(*kit.documents("text"), dimensions=2))
    except EmbedderInvalidReply as error:
        told = error
    else:
        told = reply.failures[0].error
    assert isinstance(told, EmbedderInvalidReply)
    assert words in str(told)
    assert len(emulator.exchanges) == 2


# ---------------------------------------------------------------- secrets


def everything(error):
    return "".join(traceback.format_exception(error)) + repr(error)


def test_what_aws_repeats_is_not_passed_on(open_embedder, emulator, kit):
    """A signature that does not match is answered with all that was signed."""
    access, _, token = kit.SECRETS
    told = f"The request signature does not match. {access} {token}\nx-amz-security-token:{token}\nSignature=0abc"
    emulator.inject(AwsError(code="SignatureDoesNotMatch", status=403, message=told), times=None)
    embedder = open_embedder()
    with pytest.raises(EmbedderError) as caught:
        embedder.encode(kit.ask(*kit.documents()))
    text = everything(caught.value) + repr(embedder)
    assert "The request signature does not match" in text
    for each in (*kit.SECRETS, "0abc"):
        assert each not in text


@pytest.mark.parametrize("fault", [ModelFails(original=400, message="MARK"), ModelFails(original=500, message="MARK")])
def test_what_the_container_repeats_is_not_passed_on(open_embedder, emulator, kit, fault):
    _, secret, token = kit.SECRETS
    emulator.inject(type(fault)(original=fault.original, message=f"got {token} and {secret}"), times=None)
    try:
        error = open_embedder(attempts=1).encode(kit.ask(*kit.documents()[:1])).failures[0].error
    except EmbedderError as raised:
        error = raised
    assert "got *** and ***" in str(error)
    assert not any(each in everything(error) for each in kit.SECRETS)
