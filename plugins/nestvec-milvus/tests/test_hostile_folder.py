"""A Milvus Lite folder that somebody else prepared: nothing outside of it is read, written or removed."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from nestvec.contract import Count, Create, Write
from nestvec.errors import BackendRefused
from nestvec.types import DENSE, Metric, Record
from nestvec_milvus.adapter import open_adapter
from nestvec_milvus.options import MilvusOptions
from nestvec_testing.blocking import blocking

pytest.importorskip("milvus_lite")


def opened(path):
    return blocking(open_adapter(MilvusOptions.model_validate({"path": str(path)}), blocking=True))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "store"
    adapter = opened(path)
    adapter.create(Create("docs_1", {DENSE: 3}, Metric.COSINE, {}, {"nestvec": 1}, None))
    record = Record("a", "d", "text", {}, {"chunk": 0, "layout": "l1"})
    adapter.write(Write("docs_1", [record], {DENSE: np.eye(3, dtype=np.float32)[:1]}))
    adapter.close()
    return path


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "store")


def refused(folder, *words):
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(BackendRefused) as caught:
        opened(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)
    assert sorted(folder.parent.rglob("*")) == before


def test_a_sound_folder_opens(folder):
    adapter = opened(folder)
    assert adapter.count(Count("docs_1")) == 1
    adapter.close()


EVIL = {
    "a file above": lambda m: m["partitions"]["_default"]["data_files"].append("../../../../thesis.txt"),
    "an absolute file": lambda m: m["partitions"]["_default"]["delta_files"].append("/home/user/thesis.txt"),
    "a file of Windows": lambda m: m["partitions"]["_default"]["data_files"].append("..\\..\\thesis.txt"),
    "a partition": lambda m: m["partitions"].update({"../../..": {"data_files": [], "delta_files": []}}),
    "an index": lambda m: m["index_specs"].update({"../../x": m["index_specs"]["dense"]}),
}


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.prev"])
def test_manifests_that_lead_out(evil, name, folder):
    path = folder / "collections" / "docs_1" / name
    manifest = json.loads((folder / "collections" / "docs_1" / "manifest.json").read_text())
    EVIL[evil](manifest)
    path.write_text(json.dumps(manifest))
    refused(folder, name, "outside of its folder")


def test_aliases_that_lead_out(folder):
    (folder / "aliases.json").write_text(json.dumps({"docs": "../../elsewhere"}))
    refused(folder, "aliases.json")


@pytest.mark.parametrize("content", ["{", "[" * 100_000, ""])
def test_manifests_that_are_no_json(content, folder):
    (folder / "collections" / "docs_1" / "manifest.json").write_text(content)
    refused(folder, "damaged")


@pytest.mark.parametrize("name", ["LOCK", "collections/docs_1/schema.json", "more", "collections/docs_2"])
def test_what_leads_elsewhere(name, folder, tmp_path):
    path = folder / name
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path)
    refused(folder, path.name, "is a link")
    path.unlink()
    os.mkfifo(path)
    refused(folder, path.name, "is a pipe")
