"""Stochastic depth: residual branches left out at random while training (arXiv:1603.09382)."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from search_space.network import Network

_Module = TypeVar("_Module", bound=nn.Module)


def draw_apart(networks: Sequence[nn.Module]) -> None:
    """Draws what each of the networks drops in its next pass, so that they may take it at the same time."""
    for network in networks:
        for dropped in _hooks(network):
            dropped.seed = int(torch.randint(1 << 62, ()))


def _hooks(network: nn.Module) -> Iterator["_Dropped"]:
    for module in network.modules():
        yield from (hook for hook in module._forward_hooks.values() if isinstance(hook, _Dropped))


def without_drop_path(network: _Module) -> _Module:
    """The network itself, which drops nothing any more: in training mode a copy that is measured would draw as well."""
    for module in network.modules():
        for number, hook in list(module._forward_hooks.items()):
            if isinstance(hook, _Dropped):
                del module._forward_hooks[number]
    return network


def add_drop_path(network: Network, rate: float) -> None:
    """Makes every block with a skip leave out its branches, picture by picture, with a probability that grows linearly.

    From 0 at the first block to `rate` at the last. Names of parameters do not change, nor does evaluation.
    """
    ends = network.branches()
    for index, branches in enumerate(ends):
        own = rate * index / max(1, len(ends) - 1)
        for last in branches if own > 0 else ():
            last.register_forward_hook(_Dropped(own))


class _Dropped:
    """A hook on a branch's last module; a class, since a copy of the network has to be able to copy it.

    Attributes:
        seed: of the network's next draws, where copies of it are trained side by side; else torch's global state draws.
    """

    def __init__(self, rate: float):
        self.rate = rate
        self.seed: int | None = None

    def __call__(self, module: nn.Module, _inputs: Any, branch: Tensor) -> Tensor:
        if not module.training:
            return branch
        generator = None if self.seed is None else torch.Generator(branch.device).manual_seed(self.seed)
        kept = branch.new_empty(len(branch), *(1 for _ in branch.shape[1:]))
        return branch * kept.bernoulli_(1 - self.rate, generator=generator).div_(1 - self.rate)
