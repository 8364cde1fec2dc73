"""Procgen (arXiv:1912.01588) by envpool, in its easy mode: worlds made by a seed, of which some are trained on.

Envpool draws the level of each episode by itself, from a range that it is told. Its games are linked against Qt 5,
which it does not bring: they find the system's, or that of the package PyQt5-Qt5.
"""

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from foundation.errors import InputError
from tasks.control.levels import Levels

GAMES = (
    "bigfish",
    "bossfight",
    "caveflyer",
    "chaser",
    "climber",
    "coinrun",
    "dodgeball",
    "fruitbot",
    "heist",
    "jumper",
    "leaper",
    "maze",
    "miner",
    "ninja",
    "plunder",
    "starpilot",
)
ACTIONS = tuple(f"action {number}" for number in range(15))
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
TRAINING = 200
MOST_STEPS = 1000
QT = ("libQt5Core.so.5", "libQt5Gui.so.5")
FIRST = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
"""The first level of each split: far enough apart that no two splits share one."""


class EnvpoolWorlds(VecEnv):
    """Envpool's worlds as stable-baselines3 takes them: an episode that ends is followed by the next at once."""

    def __init__(self, pool: Any, count: int):
        super().__init__(count, pool.observation_space, pool.action_space)
        self.pool = pool
        self._actions: NDArray[np.int32] = np.zeros(count, dtype=np.int32)

    def reset(self) -> Any:
        """The first pictures, N×3×64×64 (uint8)."""
        return self.pool.reset()[0]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Takes the actions."""
        self._actions = actions.astype(np.int32)

    def step_wait(self) -> Any:
        """Pictures, rewards, which episodes ended, and what else there is to say; after an end the next's picture."""
        seen, rewards, ended, late, _ = self.pool.step(self._actions)
        done = ended | late
        told: list[dict[str, Any]] = [{} for _ in done]
        for at in np.flatnonzero(done):
            told[at] = {"terminal_observation": seen[at].copy(), "TimeLimit.truncated": bool(late[at] & ~ended[at])}
        if done.any():
            seen = seen.copy()
            seen[done] = self.pool.reset(np.flatnonzero(done))[0]
        return seen, rewards.astype(np.float32), done, told

    def close(self) -> None:
        """Ends the worlds."""
        self.pool.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Worlds of another language have no attributes, and none draws itself."""
        if attr_name == "render_mode":
            return [None] * self.num_envs
        raise AttributeError(attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """As `get_attr`."""
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """As `get_attr`."""
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is."""
        return [False] * self.num_envs


def worlds(game: str, levels: Levels, count: int, seed: int, *, in_order: bool = False) -> EnvpoolWorlds:
    """So many worlds of a game, see `training.task.Acting.worlds`; the levels are always drawn."""
    load_qt()
    import envpool  # takes seconds

    del in_order
    pool = envpool.make(
        f"{game.capitalize()}Easy-v0",
        env_type="gymnasium",
        num_envs=count,
        num_levels=levels.count,
        start_level=FIRST[levels.split],
        seed=seed % 2**31,
    )
    return EnvpoolWorlds(pool, count)


def load_qt() -> None:
    """Loads the libraries that the games are linked against, for all that this process loads later.

    Raises InputError where there are none.
    """
    package = find_spec("PyQt5")
    places = package.submodule_search_locations if package else None
    own = [Path(place) / "Qt5" / "lib" for place in places or ()]
    try:
        for name in QT:
            found = [str(place / name) for place in own if (place / name).exists()]
            ctypes.CDLL(found[0] if found else name, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise InputError(
            f"`data` procgen: needs {QT[-1]} ({error}); pip install PyQt5-Qt5, or Debian's libqt5gui5"
        ) from None
