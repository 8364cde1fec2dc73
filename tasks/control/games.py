"""The games that `--data` names: worlds to act in, and their pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from foundation.errors import InputError
from tasks.control.levels import APART, SPLITS, TRAINING, Levels, levels_of
from training.data.dataset import Dataset, Wanted
from training.data.held import HeldSplit
from training.data.pictures import Pictures

SPECS = "gridworld[:LEVELS], procgen:GAME"
MOST_LEVELS = 100_000
INSTALL = "pip install 'coordnas[control]'"


class Worlds(Protocol):
    """Makes so many episodes side by side on levels; see `training.task.Acting.worlds`."""

    def __call__(self, levels: Levels, count: int, seed: int, *, in_order: bool = False) -> Any: ...


@dataclass(frozen=True)
class Game:
    """A game.

    Attributes:
        actions: their names.
        mean, std: of its pictures' channels, in 0 to 1.
        most_steps: after which every episode has ended.
    """

    name: str
    actions: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    most_steps: int
    levels: Mapping[str, Levels]
    worlds: Worlds


class LevelSplit(HeldSplit):
    """The first picture of each level of a split, and the game they are of; targets say which levels (`APART`)."""

    def __init__(self, game: Game, split: str, pictures: Tensor, device: torch.device):
        numbers = torch.arange(len(pictures)) + APART * SPLITS.index(split)
        super().__init__(Pictures(pictures, numbers, None), game.mean, game.std, device)
        self.game = game


def load_game(wanted: Wanted) -> Dataset:
    """The game that a spec names. Raises InputError for an unknown one, or where what it needs is not installed."""
    if wanted.kind not in GAMES:
        raise InputError(f"`data` {wanted.spec}: unknown to task control; known: {SPECS}")
    game = GAMES[wanted.kind](wanted)

    def load(split: str) -> LevelSplit:
        levels = game.levels[split]
        pictures = game.worlds(levels, levels.count, 0, in_order=True).reset()
        return LevelSplit(game, split, torch.from_numpy(pictures), wanted.device)

    counts = {name: levels.count for name, levels in game.levels.items()}
    identity = f"{game.name} {counts['train']}"
    return Dataset(game.name, identity, game.actions, game.mean, game.std, load, wanted.device, counts=counts)


def _gridworld(wanted: Wanted) -> Game:
    _check_installed(wanted.spec, "gymnasium", "stable_baselines3", remedy=INSTALL)
    from tasks.control import gridworld

    training = wanted.rest or str(TRAINING)
    if not training.isdecimal() or not 1 <= int(training) <= MOST_LEVELS:
        raise InputError(f"`data` {wanted.spec}: expected 1 to {MOST_LEVELS} training levels after gridworld:")
    levels = levels_of(int(training))
    return Game(
        "gridworld",
        gridworld.ACTIONS,
        gridworld.MEAN,
        gridworld.STD,
        gridworld.MOST_STEPS,
        levels,
        gridworld.worlds,
    )


def _procgen(wanted: Wanted) -> Game:
    _check_installed(wanted.spec, "gymnasium", "stable_baselines3", remedy=INSTALL)
    _check_installed(wanted.spec, "envpool", remedy="pip install 'coordnas[procgen]'")
    from tasks.control import procgen  # by envpool

    if wanted.rest not in procgen.GAMES:
        raise InputError(f"`data` {wanted.spec}: unknown; known: {', '.join(procgen.GAMES)}")
    return Game(
        wanted.spec,
        procgen.ACTIONS,
        procgen.MEAN,
        procgen.STD,
        procgen.MOST_STEPS,
        levels_of(procgen.TRAINING),
        partial(procgen.worlds, wanted.rest),
    )


GAMES: Mapping[str, Callable[[Wanted], Game]] = {"gridworld": _gridworld, "procgen": _procgen}
"""What makes a game, by the spec's first word."""


def _check_installed(spec: str, *modules: str, remedy: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise InputError(f"`data` {spec}: needs {' and '.join(missing)}; {remedy}")
