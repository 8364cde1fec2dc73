"""A small world to act in, made by a seed: two handwritten digits are signs, and what they say decides what pays.

A level is a grid of 4×4 cells of 8×8 pixels: an agent, two signs, and up to three walls between which both signs can
be reached. Four actions move the agent by a cell; a wall and the border hold it where it is. The episode ends at a
sign, or after `MOST_STEPS` steps. The reward is 1 at the one, -1 at the zero, and `STEP` for each step.

The signs are scikit-learn's handwritten digits at their own size, the ground is a crop of a real photograph. Both are
divided into train, validation and test by a division that no seed changes (`training.data.digits`,
`training.data.scenes`). Levels of two splits share no handwriting and no piece of a photograph.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv

from foundation.seeds import derive
from tasks.control.levels import Levels
from training.data.digits import source
from training.data.scenes import photographs, tiles

GRID, CELL = 4, 8
SIDE = GRID * CELL
MOST_STEPS = 24
STEP = -0.01
"""Reward of a step: of two ways to the same sign the shorter is better."""
ACTIONS = ("up", "right", "down", "left")
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
MOST_WALLS = 3
PAYS, COSTS = 1, 0
"""The digits: two that are told apart by a few strokes, so that a short training can learn to read them."""
ATTEMPTS = 1000

# Of the training levels' first pictures, in 0 to 1.
MEAN = (0.35, 0.35, 0.35)
STD = (0.3, 0.3, 0.3)

_Bytes = NDArray[np.uint8]
Cell = tuple[int, int]


@dataclass(frozen=True)
class Level:
    """A level.

    Attributes:
        ground: the picture without the agent, S×S×3.
        start: where the agent begins, by row and column.
        walls: the cells that it cannot enter.
        signs: the cells of the digit that pays and of the one that costs.
    """

    ground: _Bytes
    start: Cell
    walls: frozenset[Cell]
    signs: tuple[Cell, Cell]

    def drawn(self, agent: Cell) -> _Bytes:
        """The picture with the agent in that cell, 3×S×S."""
        picture = self.ground.copy()
        top, left = (CELL * place for place in agent)
        picture[top + 1 : top + CELL - 1, left + 1 : left + CELL - 1] = (255, 255, 255)
        picture[top + 2 : top + CELL - 2, left + 2 : left + CELL - 2] = (220, 30, 30)
        return np.ascontiguousarray(picture.transpose(2, 0, 1))


@lru_cache(maxsize=4096)
def level(split: str, number: int) -> Level:
    """The level of that number of a split; the same for the same number."""
    rng = np.random.default_rng(derive("gridworld", split, number))
    images, labels = source(split)
    for _ in range(ATTEMPTS):
        places = rng.permutation(GRID * GRID)
        start, first, second, *others = [(int(place) // GRID, int(place) % GRID) for place in places]
        walls = frozenset(others[: int(rng.integers(MOST_WALLS + 1))])
        if _reached(start, walls, {first, second}) == {first, second}:
            break
    ground = _ground(split, rng)
    for wall in walls:
        _cell(ground, wall)[:] = (0.35 * _cell(ground, wall)).astype(np.uint8)
        _cell(ground, wall)[[0, -1]] = _cell(ground, wall)[:, [0, -1]] = 0
    colour = rng.uniform(0, 90, 3)  # of the paper that both signs are on, dark enough for white ink
    for place, digit in ((first, PAYS), (second, COSTS)):
        ink = rng.choice(images[labels == digit])[..., None]
        _cell(ground, place)[:] = (colour + ink * (255 - colour)).astype(np.uint8)
    return Level(ground, start, walls, (first, second))


def _cell(picture: _Bytes, place: Cell) -> _Bytes:
    top, left = (CELL * one for one in place)
    return picture[top : top + CELL, left : left + CELL]


def _ground(split: str, rng: np.random.Generator) -> _Bytes:
    """A crop of a photograph, as bright or dark as it comes."""
    photograph = photographs()[int(rng.integers(len(photographs())))]
    corners = tiles(split, photograph.shape)
    top, left = corners[int(rng.integers(len(corners)))] + rng.integers(64 - SIDE + 1, size=2)
    crop = photograph[top : top + SIDE, left : left + SIDE]
    return np.minimum(crop * rng.uniform(0.7, 1.2), 255).astype(np.uint8)


def _reached(start: Cell, walls: frozenset[Cell], signs: set[Cell]) -> set[Cell]:
    """The signs that can be come to without passing over the other."""
    seen, edge, found = {start}, [start], set()
    while edge:
        place = edge.pop()
        for move in MOVES:
            there = moved(place, move)
            if there in seen or there in walls:
                continue
            seen.add(there)
            if there in signs:
                found.add(there)
            else:
                edge.append(there)
    return found


def moved(place: Cell, move: tuple[int, int]) -> Cell:
    """The cell that a move leads to; the same at the border."""
    row, column = place[0] + move[0], place[1] + move[1]
    return (row, column) if 0 <= row < GRID and 0 <= column < GRID else place


class GridWorld(gymnasium.Env[_Bytes, np.int64]):
    """The levels of a set, one an episode: the first of them as told, the later ones drawn.

    Args:
        first: the place in the set of the first episode's level.
        seed: of the draws, modulo 2³².
    """

    def __init__(self, levels: Levels, first: int = 0, seed: int = 0):
        self.observation_space = spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8)
        self.action_space = spaces.Discrete(len(ACTIONS))
        self.levels = levels
        self._next: int | None = first % levels.count
        super().reset(seed=seed % 2**32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[_Bytes, dict[str, Any]]:
        """Begins an episode. A seed begins the draws of levels anew."""
        super().reset(seed=seed)
        place = int(self.np_random.integers(self.levels.count)) if self._next is None else self._next
        self._next = None
        self.level = level(self.levels.split, place)
        self.agent, self.steps = self.level.start, 0
        return self.level.drawn(self.agent), {"level": place}

    def step(self, action: np.int64) -> tuple[_Bytes, float, bool, bool, dict[str, Any]]:
        """Moves the agent; see the file's head for the reward."""
        there = moved(self.agent, MOVES[int(action)])
        if there not in self.level.walls:
            self.agent = there
        self.steps += 1
        pays, costs = self.level.signs
        reward = STEP + (self.agent == pays) - (self.agent == costs)
        ended = self.agent in (pays, costs)
        late = not ended and self.steps >= MOST_STEPS
        return self.level.drawn(self.agent), reward, ended, late, {}


def worlds(levels: Levels, count: int, seed: int, *, in_order: bool = False) -> DummyVecEnv:
    """So many worlds side by side, see `training.task.Acting.worlds`."""
    draws = np.random.default_rng(derive("gridworld", "worlds", seed))
    firsts = np.arange(count) if in_order else draws.integers(levels.count, size=count)
    return DummyVecEnv([partial(GridWorld, levels, int(first), derive(seed, at)) for at, first in enumerate(firsts)])
