"""NVIDIA's driver, open: the devices that this process may use, through nvidia-ml-py (imported as pynvml)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_HIDE_ALL = ("", "-1", "NoDevFiles")
"""What people give CUDA_VISIBLE_DEVICES so that it names no GPU."""


class NvmlUnavailable(Exception):
    """The driver cannot be asked; ``str()`` is the reason, without a full stop."""


class NoGpu(NvmlUnavailable):
    """The driver works, and has no device to offer."""


@dataclass(frozen=True)
class Device:
    """A GPU, or a MIG device of one, that this process may use."""

    index: int
    """Counts from 0 over the visible devices."""
    name: str
    uuid: str
    handle: Any
    card: Any
    """Handle of the whole GPU; the same as ``handle`` except on MIG devices."""
    gpu_instance: int | None = None
    """NVML's number of the MIG device's GPU instance; None for a whole GPU."""

    @property
    def is_mig(self) -> bool:
        """Whether this is a part of a GPU."""
        return self.gpu_instance is not None


class Driver:
    """An open NVML; one thread uses it."""

    def __init__(self) -> None:
        """Raises NvmlUnavailable when there is no driver or no device that this process may use."""
        try:
            import pynvml
        except ImportError as error:
            raise NvmlUnavailable("nvidia-ml-py is not installed (pip install nvidia-ml-py)") from error
        self.nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NvmlUnavailable(_why_closed(pynvml, error)) from error
        self.devices: tuple[Device, ...]
        """Those that work."""
        self.lost: dict[int, str]
        """NVML's number of each visible GPU that it counts and cannot give → why."""
        try:
            self.devices, self.lost = _visible(pynvml, os.environ)
        except pynvml.NVMLError as error:
            self.close()
            raise NvmlUnavailable(f"the NVIDIA driver does not list its devices ({error})") from error
        except NvmlUnavailable:
            self.close()
            raise

    def has_found_one(self) -> bool:
        """Whether a GPU that was lost when the driver was opened can be had now, by opening it anew."""
        for number in self.lost:
            with contextlib.suppress(self.nvml.NVMLError):
                self.nvml.nvmlDeviceGetUUID(self.nvml.nvmlDeviceGetHandleByIndex(number))
                return True
        return False

    def close(self) -> None:
        """Let go of the driver."""
        # A driver that is gone cannot be shut down, and nothing depends on it.
        with contextlib.suppress(self.nvml.NVMLError):
            self.nvml.nvmlShutdown()


def select(cards: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> list[str]:
    """Return the UUIDs of the devices that CUDA shows to a process, in its order.

    ``cards``: UUID of each GPU, in NVML's order → UUIDs of its MIG devices. As CUDA does, an entry of
    ``CUDA_VISIBLE_DEVICES`` that names no device hides itself and all that follow; a GPU in MIG mode stands for its
    first MIG device; and a process sees one MIG device at most, and no other GPU beside it (NVIDIA Multi-Instance GPU
    User Guide, "CUDA Device Enumeration"). CUDA numbers GPUs as NVML does where they are of one kind or where
    ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
    """
    chosen = _named(list(cards), [mig for migs in cards.values() for mig in migs], environment)
    parts = [cards[uuid][0] if cards.get(uuid) else uuid for uuid in chosen]
    migs = [uuid for uuid in parts if uuid not in cards]
    return migs[:1] or parts


def _named(uuids: list[str], migs: list[str], environment: Mapping[str, str]) -> list[str]:
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return uuids
    chosen: list[str] = []
    for entry in (part.strip() for part in wanted.split(",")):
        if entry.isdecimal():
            matches = uuids[int(entry) : int(entry) + 1]
        else:
            matches = [uuid for uuid in (*uuids, *migs) if entry and uuid.startswith(entry)]
        if len(matches) != 1 or matches[0] in chosen:
            break
        chosen += matches
    return chosen


def _visible(nvml: Any, environment: Mapping[str, str]) -> tuple[tuple[Device, ...], dict[int, str]]:
    cards, gone = _cards(nvml)
    migs = {uuid: {} if card is None else dict(_migs(nvml, card)) for uuid, card in cards.items()}
    chosen = select({uuid: tuple(parts) for uuid, parts in migs.items()}, environment)
    if not chosen:
        raise NvmlUnavailable(_why_none_chosen(environment["CUDA_VISIBLE_DEVICES"], len(cards)))
    usable = [uuid for uuid in chosen if uuid not in gone]
    absent = {gone[uuid].number: gone[uuid].error for uuid in chosen if uuid in gone}
    if not usable:
        reasons = "; ".join(f"GPU {number}: {error}" for number, error in absent.items())
        raise NoGpu(f"the NVIDIA driver finds no GPU ({reasons})")
    devices = []
    for index, uuid in enumerate(usable):
        if uuid in cards:
            card = handle = cards[uuid]
            instance = None
        else:
            card, handle = next((cards[gpu], parts[uuid]) for gpu, parts in migs.items() if uuid in parts)
            instance = int(nvml.nvmlDeviceGetGpuInstanceId(handle))
        devices.append(Device(index, text(nvml.nvmlDeviceGetName(handle)), uuid, handle, card, instance))
    # The driver counts the GPUs that a container was not given, too: those are others' to miss.
    lost = {
        number: str(error) for number, error in absent.items() if not isinstance(error, nvml.NVMLError_NoPermission)
    }
    return tuple(devices), lost


def _why_none_chosen(wanted: str, count: int) -> str:
    said = f"CUDA_VISIBLE_DEVICES={wanted!r}"
    if wanted.strip() in _HIDE_ALL:
        return f"{said} hides every GPU"
    numbers = "one GPU, number 0" if count == 1 else f"{count} GPUs, numbered 0 to {count - 1}"
    return f"{said} begins with a GPU that is not there: the NVIDIA driver has {numbers}"


@dataclass(frozen=True)
class _Gone:
    number: int
    error: Exception


def _cards(nvml: Any) -> tuple[dict[str, Any], dict[str, _Gone]]:
    """Return every GPU's handle by its UUID, in NVML's order, and which of them cannot be had.

    One without a handle has no UUID either, but keeps its number, so that those of the others stay.
    """
    cards: dict[str, Any] = {}
    gone: dict[str, _Gone] = {}
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            cards[text(nvml.nvmlDeviceGetUUID(handle))] = handle
        except nvml.NVMLError as error:
            cards[f"gone {index}"] = None
            gone[f"gone {index}"] = _Gone(index, error)
    if not cards:
        raise NoGpu("the NVIDIA driver finds no GPU (it lists none)")
    return cards, gone


def _migs(nvml: Any, card: Any) -> Iterator[tuple[str, Any]]:
    try:
        is_on = nvml.nvmlDeviceGetMigMode(card)[0]
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(card) if is_on else 0
    except nvml.NVMLError:
        # Most devices know of no MIG mode, and say so by an error.
        return
    for index in range(count):
        # Indices of MIG devices that nobody made are not found.
        with contextlib.suppress(nvml.NVMLError):
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index)
            yield text(nvml.nvmlDeviceGetUUID(handle)), handle


def _why_closed(nvml: Any, error: Exception) -> str:
    if isinstance(error, nvml.NVMLError_LibraryNotFound):
        return "no NVIDIA driver on this machine (libnvidia-ml.so.1 not found)"
    return f"the NVIDIA driver does not start ({error})"


def text(value: str | bytes) -> str:
    """Return what NVML says as text; older releases of nvidia-ml-py give bytes."""
    return value.decode() if isinstance(value, bytes) else value
