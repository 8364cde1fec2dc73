"""Procgen's worlds: levels by their seeds, episodes that follow each other, and training that replays."""

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")
if find_spec("envpool") is None:  # imported here, it would find no libraries of Qt
    pytest.skip("envpool is not installed", allow_module_level=True)

from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.families.impala.equal import impala
from search_space.network import build
from tasks.choice import task
from tasks.control import procgen
from tasks.control.levels import SPLITS, UNSEEN, Levels
from training.acting.settings import PPOSettings
from training.loop import fit
from training.methods.choice import METHODS, Training
from training.recipe import Recipe
from training.task import on

CPU = torch.device("cpu")
ENCODER = impala(0.125, 1, 64)
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=1e-3, clip_norm=0.5)


def _seen(worlds: Any, steps: int) -> list[Any]:
    """What is seen from the start, and the ends among it, by random actions."""
    rng = np.random.default_rng(0)
    found = [worlds.reset()]
    for _ in range(steps):
        worlds.step_async(rng.integers(len(procgen.ACTIONS), size=worlds.num_envs))
        found.append(worlds.step_wait())
    return found


def _first(game: str, split: str, levels: int, count: int, seed: int = 0) -> set[bytes]:
    pictures = procgen.worlds(game, Levels(split, levels), count, seed).reset()
    assert pictures.shape == (count, 3, 64, 64)
    assert pictures.dtype == np.uint8
    return {picture.tobytes() for picture in pictures}


@pytest.mark.parametrize("game", procgen.GAMES)
def test_a_level_is_its_number_s(game: str) -> None:
    assert len(_first(game, "train", 1, 4)) == 1
    assert len(_first(game, "train", 200, 16)) > 1


def test_splits_share_no_level() -> None:
    levels = [_first("coinrun", split, 200, 64) for split in SPLITS]
    assert not levels[0] & levels[1] | levels[1] & levels[2] | levels[0] & levels[2]
    assert levels[0] & _first("coinrun", "train", 200, 64, seed=1)  # other draws of the same levels
    assert levels[0] != _first("coinrun", "train", 200, 64, seed=1)


def test_episodes_follow_each_other_and_replay() -> None:
    starts = _first("coinrun", "train", 2, 32)
    assert len(starts) == 2
    first, again = (_seen(procgen.worlds("coinrun", Levels("train", 2), 8, seed=3), 400) for _ in range(2))
    ended = 0
    for one, other in zip(first[1:], again[1:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))
        for at in np.flatnonzero(one[2]):
            ended += 1
            assert one[0][at].tobytes() in starts
            assert one[3][at]["terminal_observation"].tobytes() not in starts
    assert ended


def test_a_killed_training_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in (("validation", 2), ("test", 2)):
        monkeypatch.setitem(UNSEEN, split, count)
    monkeypatch.setattr(procgen, "MOST_STEPS", 40)
    data = task("control").data("procgen:coinrun", 64, CPU)
    assert (data.num_classes, len(data.train), len(data.test)) == (15, 200, 2)
    control = on(task("control"), data)

    def weights(name: str, parts: tuple[int | None, ...]) -> dict[str, torch.Tensor]:
        (tmp_path / name).mkdir()
        for until in parts:
            torch.manual_seed(5)
            network = build(ENCODER, control.head(15, ENCODER))
            own = PPOSettings(rollouts=1, worlds=4, horizon=8, passes=1, mixreg=0.2)
            method = METHODS["ppo"](Training(network, 64, RECIPE, control, data, own=own))
            fit(
                method,
                data.train,
                RECIPE,
                seed=3,
                checkpoint=tmp_path / name / "checkpoint",
                identity={},
                reporter=Reporter(quiet=True),
                what="agent",
                until=until,
            )
        return network.state_dict()

    whole, parts = weights("whole", (None,)), weights("parts", (1, None))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_libraries_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, mode: int) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(InputError, match=r"^`data` procgen: needs libQt5Gui\.so\.5 \(.*\); pip install PyQt5-Qt5"):
        procgen.load_qt()
