"""A network with its policy head as an agent of stable-baselines3."""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from training.resize import resized


class Encoder(BaseFeaturesExtractor):
    """The network, from pictures in 0 to 1, N×3×S×S, to N×(actions+1): a logit for each action, and the value.

    Batch normalisation uses its running statistics always: with those of a minibatch the network that learns would be
    another one than the one that acted. `calibrate` renews them.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        network: nn.Module,
        resolution: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        outputs: int,
    ):
        super().__init__(observation_space, outputs)
        self.network = network
        self.resolution = resolution
        device = next(network.parameters()).device
        self.mean, self.std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))

    def train(self, mode: bool = True) -> "Encoder":
        """As any module's, but for batch normalisation."""
        super().train(mode)
        for norm in norms(self.network):
            norm.eval()
        return self

    def forward(self, observations: Tensor) -> Tensor:
        """N×3×S×S to N×(actions+1)."""
        outputs: Tensor = self.network(self.seen(observations))
        return outputs

    def seen(self, observations: Tensor) -> Tensor:
        """What the network is given of pictures in 0 to 1: normalised, at its resolution."""
        images = resized((observations - self.mean) / self.std, self.resolution)
        return images.contiguous(memory_format=torch.channels_last)


def norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch normalisations of a network."""
    return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


class NetworkPolicy(ActorCriticPolicy):
    """An agent that is its network and nothing else: the head gives the logits and the value."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        # Of a linear layer each, which the network has in its head already.
        self.register_module("action_net", _Columns(slice(None, -1)))
        self.register_module("value_net", _Columns(slice(-1, None)))
        self.optimizer = self.optimizer_class(self.parameters(), **{"lr": lr_schedule(1), **self.optimizer_kwargs})


class _Columns(nn.Module):
    def __init__(self, chosen: slice):
        super().__init__()
        self.chosen = chosen

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs[:, self.chosen]
