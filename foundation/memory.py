"""Memory: errors about it told from others, how much is free, and freed memory kept for the next tensors."""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

MEMORY = Path("/proc/meminfo")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_KEPT = 32 << 20  # the most that glibc takes
_KEPT = 1 << 30


def keep_freed_memory() -> None:
    """Has glibc keep up to 1 GiB of what is freed, instead of giving it back to the system at once.

    A training step makes and frees tensors of a few MiB by the hundred. Given back, each of their pages is zeroed and
    mapped again at its next use: 4,500 pages a step of the default supernet, a tenth of its time. Elsewhere than on
    Linux with glibc nothing is done.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is torch's about memory, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be had on the device without taking them from others; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        return None
    said = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return said[0] << 10 if said else None


def kept_bytes(make: Callable[[], nn.Module], side: int) -> int:
    """Bytes that a network in training keeps for the gradients of one picture of that side (float32).

    Nothing is computed or allocated: it is made and run on the meta device.
    """
    with torch.device("meta"):
        network = make().train()
    own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}  # by address, and held: a freed one's would be given again

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    pictures = 2  # one has no batch statistics
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.empty(pictures, 3, side, side, device="meta"))
    return sum(storage.nbytes() for storage in kept.values()) // pictures
