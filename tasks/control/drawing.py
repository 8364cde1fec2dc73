"""Episodes as pictures: a row each, from the first picture to the end."""

import torch
from torch import Tensor, nn

from foundation.seeds import derive
from tasks.control.games import Game
from tasks.control.playing import Player

EPISODES, PICTURES = 8, 8
SCALE, EDGE = 3, 3
DRAWN_AS = (
    "Episodes on levels that the agent never trained on, a row each, step by step. The last picture of an episode has "
    "an edge: green where the agent was rewarded, red where it was punished."
)
GOOD, BAD, NONE = (30, 150, 60), (200, 40, 40), (255, 255, 255)


@torch.no_grad()
def drawn(network: nn.Module, game: Game, resolution: int) -> Tensor:
    """What an agent sees on the first test levels: 3×H×W (uint8), eight episodes of at most eight pictures.

    The last picture of an episode has an edge: green where the last reward was above 0, red where it was below.
    """
    player = Player(network, game, resolution, derive("control", "drawing"))
    worlds = game.worlds(game.levels["test"], EPISODES, 0, in_order=True)
    seen = worlds.reset()
    side = seen.shape[-1] * SCALE + 2 * EDGE
    sheet = torch.full((3, EPISODES * side, PICTURES * side), 255, dtype=torch.uint8)
    going = [True] * EPISODES
    for column in range(PICTURES):
        pictures = torch.from_numpy(seen.copy())
        seen, rewards, ended, _ = worlds.step(player.actions(seen))
        for row in range(EPISODES):
            if not going[row]:
                continue
            edge = NONE if not ended[row] else GOOD if rewards[row] > 0 else BAD
            large = pictures[row].repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2)
            place = sheet[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
            place[:] = torch.tensor(edge, dtype=torch.uint8)[:, None, None]
            place[:, EDGE:-EDGE, EDGE:-EDGE] = large
            going[row] = not ended[row]
    return sheet
