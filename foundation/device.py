"""Where and with how many threads a training runs."""

import os

import torch

from foundation import distributed
from foundation.errors import InputError


def resolve_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or for `auto` a GPU if there is one; of several processes here, each gets a GPU of its own.

    Raises InputError for a GPU where there is none, or fewer than processes.
    """
    if name not in ("cpu", "cuda", "auto"):
        raise InputError(f"`device` {name}: unknown; known: cpu, cuda, auto")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("`device` cuda: torch sees no GPU here; use `device` cpu or auto")
    if name == "cpu" or not available:
        return torch.device("cpu")
    processes, devices = distributed.local_world(), torch.cuda.device_count()
    if processes == 1:
        return torch.device("cuda")
    if processes > devices:
        raise InputError(
            f"`device` {name}: {processes} processes, but {devices} GPUs here; start {devices}, or use `device` cpu"
        )
    device = torch.device("cuda", distributed.local_rank())
    torch.cuda.set_device(device)
    return device


def default_threads() -> int:
    """What OMP_NUM_THREADS says, else the processors this process may run on.

    Its share of them where `torchrun` started several here, which sets OMP_NUM_THREADS to 1 unasked.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if distributed.local_world() == 1 and wanted.isdecimal() and 1 <= int(wanted) <= 4096:
        return int(wanted)
    return processors()


def processors() -> int:
    """The processors this process may run on: its share of them where `torchrun` started several here."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // distributed.local_world())
