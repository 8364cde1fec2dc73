"""Where and with how many threads a training runs."""

import os

import torch

from search_space.errors import InputError


def resolve_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or for `auto` a GPU if there is one. Raises InputError for a GPU where there is none."""
    if name not in ("cpu", "cuda", "auto"):
        raise InputError(f"--device {name}: unknown; known: cpu, cuda, auto")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("--device cuda: torch sees no GPU here; use --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and available else "cpu")


def default_threads() -> int:
    """The processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(count: int) -> None:
    """Sets torch's threads; results on a CPU depend on their number bit for bit."""
    torch.set_num_threads(count)
