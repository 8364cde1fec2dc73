"""A network plays episodes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.control.games import Game
from tasks.control.levels import Levels
from training.resize import resized


class Player:
    """Draws actions by a network's probabilities.

    Args:
        network: in evaluation mode.
        resolution: of the pictures that it is given, in pixels a side.
        seed: of the draws.
    """

    def __init__(self, network: nn.Module, game: Game, resolution: int, seed: int):
        self.network, self.resolution = network, resolution
        self.device = next(network.parameters()).device
        values = (game.mean, game.std)
        self.mean, self.std = (torch.tensor(one, device=self.device).view(1, -1, 1, 1) for one in values)
        self.generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def actions(self, seen: NDArray[np.uint8]) -> NDArray[Any]:
        """An action for each picture, N×3×S×S."""
        pictures = torch.from_numpy(seen).to(self.device).float() / 255
        images = resized((pictures - self.mean) / self.std, self.resolution)
        logits = self.network(images.contiguous(memory_format=torch.channels_last))[:, :-1]
        shares = torch.softmax(logits.float().cpu(), 1)
        return np.asarray(torch.multinomial(shares, 1, generator=self.generator)[:, 0].numpy())


def played(network: nn.Module, game: Game, levels: Levels, count: int, resolution: int, seed: int) -> Tensor:
    """The return of so many episodes, on the levels one after the other: count (float32).

    Args:
        seed: of the actions, and of what is drawn in the worlds.
    """
    player = Player(network, game, resolution, seed)
    worlds = game.worlds(levels, count, seed, in_order=True)
    seen = worlds.reset()
    total, going = np.zeros(count), np.ones(count, dtype=bool)
    for _ in range(game.most_steps):
        seen, rewards, ended, _ = worlds.step(player.actions(seen))
        total += rewards * going
        going &= ~ended
        if not going.any():
            break
    worlds.close()
    return torch.from_numpy(total.astype(np.float32))
