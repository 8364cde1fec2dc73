"""Flags that several commands have."""

from typing import Any

from commands.command_line import OTHER, flag
from commands.registered import heads
from commands.values import whole

INIT = "first weights: scratch, torchvision, timm, auto (those on the disk), or PATH of a run or training"


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


def head(default: str) -> Any:
    """`--head`."""
    return flag(None, f"what follows the backbone: {', '.join(heads())}, each also with /CHANNELS (default: {default})")


def output_stride() -> Any:
    """`--output-stride`."""
    text = "pixels of the picture to one of the last map: later stages are dilated, not strided (default: its own)"
    return flag(None, text, whole(1, 64))


def quiet() -> Any:
    """`--quiet`."""
    return flag(False, "print errors only", reproduced=False)
