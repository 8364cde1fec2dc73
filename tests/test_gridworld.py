"""The world of signs: seeded levels that can be played, rewards, and splits that share nothing."""

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from gymnasium.utils.env_checker import check_env

from tasks.control.gridworld import GRID, MOST_STEPS, MOVES, SIDE, STEP, GridWorld, _reached, level, moved, worlds
from tasks.control.levels import Levels


def test_it_is_an_environment_of_gymnasium() -> None:
    check_env(GridWorld(Levels("train", 3)), skip_render_check=True)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_both_signs_can_be_reached_in_every_level(split: str) -> None:
    for number in range(30):
        own = level(split, number)
        assert _reached(own.start, own.walls, set(own.signs)) == set(own.signs)
        assert len({own.start, *own.signs, *own.walls}) == 3 + len(own.walls)
        assert own.drawn(own.start).shape == (3, SIDE, SIDE)


def test_levels_differ_in_layout_and_picture_and_replay() -> None:
    found = [level("train", number) for number in range(20)]
    assert len({(own.start, own.signs, own.walls) for own in found}) == 20
    assert len({own.ground.tobytes() for own in found}) == 20
    level.cache_clear()
    assert np.array_equal(level("train", 3).ground, found[3].ground)
    assert not np.array_equal(level("test", 3).ground, found[3].ground)


def play(world: GridWorld, target: tuple[int, int]) -> float:
    """The return of the shortest way to a cell."""
    own, other = world.level, next(sign for sign in world.level.signs if sign != target)
    ways = {own.start: []}
    edge = [own.start]
    for place in edge:  # which grows meanwhile
        for action, move in enumerate(MOVES):
            there = moved(place, move)
            if there not in ways and there not in own.walls and there != other:
                ways[there] = [*ways[place], action]
                edge.append(there)
    total = 0.0
    for action in ways[target]:
        _, reward, ended, _, _ = world.step(action)
        total += reward
    assert ended
    return total - STEP * len(ways[target])


def test_the_one_pays_and_the_zero_costs() -> None:
    for number in range(5):
        world = GridWorld(Levels("train", 5), number)
        for which, wanted in ((0, 1.0), (1, -1.0)):
            world._next = number
            world.reset()
            assert play(world, world.level.signs[which]) == pytest.approx(wanted)


def test_an_episode_ends_where_no_sign_is_come_to() -> None:
    world = GridWorld(Levels("train", 1))
    world.reset()
    blocked = next(a for a, m in enumerate(MOVES) if moved((0, 0), m) == (0, 0))
    world.agent = (0, 0)
    late = [world.step(blocked)[3] for _ in range(MOST_STEPS)]
    assert late == [False] * (MOST_STEPS - 1) + [True]
    assert moved((GRID - 1, 0), (1, 0)) == (GRID - 1, 0)


def test_worlds_replay_by_their_seed_and_take_levels_in_order() -> None:
    levels = Levels("train", 4)
    one, again, other = (worlds(levels, 3, seed) for seed in (7, 7, 8))
    rows = []
    for each in (one, again, other):
        seen = [each.reset()]
        seen += [each.step(np.array([step % 4] * 3))[0] for step in range(40)]
        rows.append(np.stack(seen))
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    ordered = worlds(levels, 4, 0, in_order=True).reset()
    for number, picture in enumerate(ordered):
        assert np.array_equal(picture, level("train", number).drawn(level("train", number).start))
