"""Devices and number formats: chosen where there is a choice, refused in words where there is none."""

from __future__ import annotations

import pytest
import torch

from nestvec.errors import ConfigError
from nestvec_transformers.device import available_devices, choose_device, choose_dtype


@pytest.fixture
def machine(monkeypatch):
    """A machine with other devices, as torch would report them."""

    def has(cuda=0, mps=False, capability=(8, 0)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.xpu, "is_available", lambda: False)

    return has


@pytest.mark.parametrize(("parts", "best"), [({"cuda": 2, "mps": True}, "cuda:0"), ({"mps": True}, "mps"), ({}, "cpu")])
def test_auto_takes_the_best(machine, parts, best):
    machine(**parts)
    assert str(choose_device("auto")) == best
    assert available_devices()[-1] == "cpu"


def test_one_by_name(machine):
    machine(cuda=2)
    assert [str(choose_device(name)) for name in ("cuda", "cuda:1", "cpu")] == ["cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps", "xpu"])
def test_one_that_is_not_there(machine, name):
    machine(cuda=2 if name == "cuda:7" else 0)
    there = "cuda:0, cuda:1, cpu" if name == "cuda:7" else "cpu"
    with pytest.raises(ConfigError, match=f"^device: '{name}' is not there; this machine's torch has {there}$"):
        choose_device(name)


@pytest.mark.parametrize(
    ("device", "capability", "dtype"),
    [
        ("cpu", (8, 0), torch.float32),
        ("cuda:0", (8, 0), torch.bfloat16),
        ("cuda:0", (7, 5), torch.float16),
        ("mps", (8, 0), torch.bfloat16),
    ],
)
def test_auto_takes_half_the_numbers_where_that_is_fast(machine, device, capability, dtype):
    machine(cuda=1, capability=capability)
    assert choose_dtype("auto", torch.device(device)) is dtype


def test_a_format_by_name(machine):
    machine(cuda=1, capability=(7, 5))
    assert choose_dtype("float16", torch.device("cuda:0")) is torch.float16
    assert choose_dtype("bfloat16", torch.device("cpu")) is torch.bfloat16
    with pytest.raises(ConfigError, match=r'cuda:0 has no bfloat16; use "float16" or "float32"'):
        choose_dtype("bfloat16", torch.device("cuda:0"))
