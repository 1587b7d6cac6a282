"""Where a model runs, and in which number format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.errors import ConfigError

if TYPE_CHECKING:
    import torch


def choose_device(wanted: str) -> torch.device:
    """The device of that name; "auto" is the best that is there: cuda, else mps, else cpu.

    Raises `ConfigError` for one that is not there, naming those that are.
    """
    import torch

    there = available_devices()
    if wanted == "auto":
        return torch.device(there[0])
    name = f"{wanted}:0" if wanted in ("cuda", "xpu") else wanted
    if name not in there:
        raise ConfigError(f"device: {wanted!r} is not there; this machine's torch has {', '.join(there)}")
    return torch.device(name)


def available_devices() -> list[str]:
    """The names of all devices of this machine that torch can use, the best first."""
    import torch

    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    xpu = [f"xpu:{number}" for number in range(torch.xpu.device_count())] if torch.xpu.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *xpu, *mps, "cpu"]


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The number format of that name; "auto" is float32 on a CPU, elsewhere bfloat16 where there is one, or float16.

    Raises `ConfigError` for bfloat16 on a device without it.
    """
    import torch

    if wanted == "auto":
        half = torch.bfloat16 if _has_bfloat16(device) else torch.float16
        return torch.float32 if device.type == "cpu" else half
    if wanted == "bfloat16" and not _has_bfloat16(device):
        raise ConfigError(f'dtype: the device {device} has no bfloat16; use "float16" or "float32"')
    dtype: torch.dtype = getattr(torch, wanted)
    return dtype


def _has_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type != "cuda":
        return True
    capability: tuple[int, int] = torch.cuda.get_device_capability(device)
    return capability >= (8, 0)
