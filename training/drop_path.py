"""Stochastic depth: residual branches left out at random while training (arXiv:1603.09382)."""

from typing import Any

from torch import Tensor, nn

from search_space.blocks import Block
from search_space.network import Network


def add_drop_path(network: Network, rate: float) -> None:
    """Makes every block with a skip leave out its branch, picture by picture, with a probability that grows linearly.

    From 0 at the first block to `rate` at the last. Names of parameters do not change, nor does evaluation.
    """
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    for index, block in enumerate(blocks):
        own = rate * index / max(1, len(blocks) - 1)
        if block.skip and own > 0:
            *_, last = block.children()
            last.register_forward_hook(_Dropped(own))


class _Dropped:
    """A hook on a branch's last module; a class, since a copy of the network has to be able to copy it."""

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, module: nn.Module, _inputs: Any, branch: Tensor) -> Tensor:
        from torchvision.ops import stochastic_depth  # takes a second, and few trainings drop

        return stochastic_depth(branch, self.rate, "row", module.training)
