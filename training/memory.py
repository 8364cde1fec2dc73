"""Telling errors about memory from others, and how much is free."""

from pathlib import Path

import torch

MEMORY = Path("/proc/meminfo")


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
