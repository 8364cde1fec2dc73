"""A network plays episodes."""

import numpy as np
import torch
from torch import Tensor, nn

from tasks.control.games import Game
from tasks.control.levels import Levels
from training.resize import resized


@torch.no_grad()
def played(network: nn.Module, game: Game, levels: Levels, count: int, resolution: int, seed: int) -> Tensor:
    """The return of so many episodes, the levels one after the other: count (float32).

    Args:
        network: in evaluation mode.
        seed: of the actions, which are drawn, and of what is drawn in the worlds.
    """
    device = next(network.parameters()).device
    mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (game.mean, game.std))
    generator = torch.Generator().manual_seed(seed)
    worlds = game.worlds(levels, count, seed, in_order=True)
    seen = worlds.reset()
    total, going = np.zeros(count), np.ones(count, dtype=bool)
    for _ in range(game.most_steps):
        pictures = torch.from_numpy(seen).to(device).float() / 255
        outputs = network(resized((pictures - mean) / std, resolution).contiguous(memory_format=torch.channels_last))
        shares = torch.softmax(outputs[:, :-1].float().cpu(), 1)
        actions = torch.multinomial(shares, 1, generator=generator)[:, 0].numpy()
        seen, rewards, ended, _ = worlds.step(actions)
        total += rewards * going
        going &= ~ended
        if not going.any():
            break
    return torch.from_numpy(total.astype(np.float32))
