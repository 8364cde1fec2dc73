"""Flags that several commands have."""

from typing import Any

from commands.command_line import OTHER, flag
from commands.values import whole

INIT = "first weights: scratch, torchvision (published ones of ImageNet), or auto (these, if on the disk)"


def device(default: str = "auto", *, group: str = OTHER) -> Any:
    """`--device`."""
    return flag(default, "cpu, cuda, or auto: a GPU if there is one", group=group, reproduced=False)


def loaders(*, group: str = OTHER) -> Any:
    """`--loaders`."""
    text = "processes that decode pictures (default: one a processor)"
    return flag(None, text, whole(0, 256), group=group, reproduced=False)


def skip_corrupt(*, group: str = OTHER) -> Any:
    """`--skip-corrupt`."""
    return flag(False, "pass over pictures that cannot be decoded, and say how many", group=group)


def quiet() -> Any:
    """`--quiet`."""
    return flag(False, "print errors only", reproduced=False)
