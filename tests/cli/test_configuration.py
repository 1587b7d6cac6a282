"""`init`, `config`, and what every command says about a bad configuration."""

from __future__ import annotations

import json

import pytest

from nestvec.config import load_config


class TestInit:
    def test_writes_a_file_that_loads(self, shell):
        pytest.importorskip("nestvec_e5")
        pytest.importorskip("nestvec_qdrant")
        run = shell("init", str(shell.folder / "new.toml"), "--json")
        assert run.code == 0
        assert run.json == {"path": str(shell.folder / "new.toml")}
        config = load_config(shell.folder / "new.toml")
        assert list(config.collections) == ["docs"]
        assert config.collections["docs"].space.dimensions == 256

    def test_what_is_commented_out_is_valid_for_the_core(self):
        """Each commented setting, uncommented, is a key that the file may have; the plugins' examples, too."""
        import tomllib

        from nestvec._cli.init import template
        from nestvec.config.blocks import FileBlock
        from nestvec.registry import Registry

        text = template(Registry())
        opened = [line.removeprefix("# ") if _is_setting(line) else line for line in text.splitlines()]
        block = FileBlock.model_validate(tomllib.loads("\n".join(opened)))
        assert block.backends["search"].options["api_key"] == {"env": "QDRANT_API_KEY"}

    def test_never_overwrites(self, shell):
        before = shell.config.read_text()
        for target in ([], [str(shell.config)], [str(shell.folder)]):
            run = shell("init", *target)
            assert run.code == 1
            assert "exists already" in run.err
        assert shell.config.read_text() == before

    def test_into_a_folder(self, shell):
        (shell.folder / "sub").mkdir()
        assert shell("init", str(shell.folder / "sub")).code == 0
        assert (shell.folder / "sub" / "nestvec.toml").is_file()

    def test_into_a_folder_that_is_not_there(self, shell):
        run = shell("init", str(shell.folder / "no" / "nestvec.toml"))
        assert run.code == 1
        assert "cannot be written" in run.err


def _is_setting(line):
    body = line.removeprefix("# ")
    return line.startswith("# ") and (body.startswith("[") or (" = " in body and body.split(" = ")[0].isidentifier()))


def test_config_check(shell):
    run = shell("config", "check", "--json")
    assert run.code == 0
    assert run.json == {"valid": True, "path": str(shell.config), "backends": 1, "embedders": 1, "collections": 1}
    assert "is valid: 1 backend, 1 embedder, 1 collection" in shell("config", "check").out


def test_config_schema_knows_the_plugins(shell):
    schema = shell("config", "schema").json
    assert schema["$schema"].endswith("2020-12/schema")
    assert "backends_shared" in json.dumps(schema)
    assert shell("config", "schema", "--json").json == schema


def test_no_file_says_how_to_write_one(shell):
    shell.config.unlink()
    run = shell("plan", "--json")
    assert run.code == 1
    assert "nestvec init" in run.err
    assert run.json["error"]["type"] == "ConfigError"


def test_the_file_may_be_named_after_the_command_and_by_the_environment(shell, monkeypatch):
    other = shell.folder / "other.toml"
    shell.config.rename(other)
    assert shell("plan").code == 1
    assert shell("plan", "-c", str(other)).code == 3
    monkeypatch.setenv("NESTVEC_CONFIG", str(other))
    from click.testing import CliRunner

    from nestvec._cli import main

    assert CliRunner().invoke(main, ["plan"], obj=shell.runtime).exit_code == 3


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("dimensions = 32", "dimension = 32", "did you mean 'dimensions'?"),
        ("dimensions = 32", 'dimensions = "many"', "collections.docs.dimensions: expected a whole number"),
        ("dimensions = 32", "dimensions = 0", "dimensions"),
        ("dimensions = 32", "dimensions = -5", "dimensions"),
        ("dimensions = 32", "dimensions = 65", "64"),
        ('use = "shared"', 'use = "sharde"', "did you mean 'shared'?"),
        (
            'use = "recording"',
            'use = "keyed"\napi_key = "s3cr3t-value"',
            "a secret cannot stand here literally; write",
        ),
        ('use = "recording"', 'use = "keyed"', "api_key"),
        ('lang = "keyword"', 'lang = "text"', "unknown field type 'text'"),
        ("[collections.docs]", "[collections.docs", "not valid TOML"),
    ],
)
def test_mistakes_in_the_file_get_one_message(shell, old, new, told):
    shell.edit(old, new)
    run = shell("plan", "--json")
    assert run.code == 1
    assert run.err.startswith("error: ")
    assert told in run.err
    assert str(shell.config) in run.err
    assert "s3cr3t" not in run.err + run.out
    assert "Traceback" not in run.err
    assert run.json["error"]["type"] == "ConfigError"


def test_all_mistakes_are_told_at_once(shell):
    shell.edit("dimensions = 32", "dimensions = 0\ncolour = 1")
    shell.edit('use = "recording"', 'use = "recording"\nspeed = 9')
    problems = shell("plan", "--json").json["error"]["problems"]
    assert len(problems) >= 2


def test_a_missing_secret_matters_when_its_component_opens_not_before(shell, lines, monkeypatch):
    monkeypatch.delenv("NESTVEC_TEST_KEY", raising=False)
    shell.edit('use = "recording"', 'use = "keyed"\napi_key = { env = "NESTVEC_TEST_KEY" }')
    assert shell("plan").code == 3
    assert shell("apply").code == 0
    run = shell("ingest", "docs", "-", stdin=lines({"id": "a", "text": "x"}))
    assert run.code == 1
    assert "NESTVEC_TEST_KEY is not set" in run.err
    monkeypatch.setenv("NESTVEC_TEST_KEY", "k")
    assert shell("ingest", "docs", "-", stdin=lines({"id": "a", "text": "x"})).code == 0
