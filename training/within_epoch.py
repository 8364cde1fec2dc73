"""A training kept within an epoch: every few minutes, so that a kill on large data costs these and not the epoch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foundation import distributed

SECONDS = 300.0
"""Between two checkpoints."""
ASKED = 20
"""Several processes agree on whether it is time only every so many steps: that takes a message to each."""


@dataclass(frozen=True)
class Within:
    """Where an epoch was.

    Attributes:
        steps: that are done of it.
        loss: their sum.
        seconds: that they took.
        ranks: of each process what it does not share with the others.
    """

    steps: int
    loss: float
    seconds: float
    ranks: Sequence[dict[str, Any]]

    @classmethod
    def now(cls, steps: int, loss: float, seconds: float, modules: Sequence[nn.Module]) -> "Within":
        """Where the epoch is. All processes call it together.

        Args:
            modules: the trained model, and the average of it if there is one. Batch statistics are each process's own
                until the epoch's end.
        """
        own = {"random": _random_states(modules[0]), "buffers": [buffer.cpu() for buffer in _buffers(modules)]}
        return cls(steps, loss, seconds, distributed.from_all(own))

    @classmethod
    def read(cls, state: dict[str, Any]) -> "Within":
        """What `to_dict` gave. Raises KeyError or TypeError for anything else."""
        return cls(int(state["steps"]), float(state["loss"]), float(state["seconds"]), list(state["ranks"]))

    def to_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"steps": self.steps, "loss": self.loss, "seconds": self.seconds, "ranks": list(self.ranks)}

    def restore(self, modules: Sequence[nn.Module]) -> None:
        """This process's own state. Raises RuntimeError or ValueError for that of another model."""
        own = self.ranks[distributed.rank()]
        with torch.no_grad():
            for buffer, kept in zip(_buffers(modules), own["buffers"], strict=True):
                buffer.copy_(kept)
        for generator, state in zip(_generators(modules[0]), own["random"], strict=True):
            generator.set_state(state)


class Due:
    """Says when it is time for a checkpoint."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self, steps: int) -> bool:
        """Whether it is time after so many steps of the epoch: the same in every process."""
        if distributed.world() == 1:
            return time.monotonic() - self._since >= SECONDS
        return steps % ASKED == 0 and distributed.from_first(lambda: time.monotonic() - self._since >= SECONDS)

    def kept(self) -> None:
        """There is a new checkpoint."""
        self._since = time.monotonic()


def _buffers(modules: Sequence[nn.Module]) -> list[Tensor]:
    distinct = {id(module): module for module in modules}.values()
    return [buffer for module in distinct for buffer in module.buffers()]


def _random_states(model: nn.Module) -> list[Tensor]:
    return [generator.get_state() for generator in _generators(model)]


def _generators(model: nn.Module) -> list[torch.Generator]:
    """Those that a step draws from: the CPU's, and that of the model's GPU."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if device.type != "cuda":
        return [torch.default_generator]
    return [torch.default_generator, torch.cuda.default_generators[device.index or 0]]
