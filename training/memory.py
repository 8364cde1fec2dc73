"""Telling errors about memory from others."""

import torch


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is torch's about memory, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
