"""Rank statistics against scipy's, what intervals have to do, and the networks that a benchmark trains for truth."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.standalone_truth import Plan, read, without_trained_here
from evaluators.ranking import Truth, kendall, reachable, resampled_accuracy
from evaluators.tabular.table import Entry, Table, read_table, write_table
from foundation.errors import InputError
from search_space.architecture import Architecture
from training.recipe import Recipe


@pytest.mark.parametrize("levels", [3, 1000])  # with many ties, and with few
def test_tau_and_rho_equal_scipy(levels: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.integers(levels, size=(2, 30)).astype(float)
        assert kendall(one, other) == pytest.approx(stats.kendalltau(one, other).statistic)
        assert Truth(other).spearman(one) == pytest.approx(stats.spearmanr(one, other).statistic)


def test_a_constant_score_has_no_tau() -> None:
    assert np.isnan(kendall([1.0, 1.0, 1.0], [0.1, 0.2, 0.3]))


def test_intervals_hold_the_value_of_the_population() -> None:
    """Of normal scores with correlation r, τ is 2/π·asin(r): about 95 of 100 intervals hold it."""
    rng = np.random.default_rng(1)
    r, held = 0.7, 0
    expected = 2 / np.pi * np.arcsin(r)
    for index in range(60):
        scores, noise = rng.normal(size=(2, 40))
        accuracy = r * scores + np.sqrt(1 - r**2) * noise
        interval = Truth(accuracy, np.broadcast_to(accuracy, (300, 40)), seed=index).tau(list(scores))
        held += interval.low <= expected <= interval.high
    assert 50 <= held <= 60


def test_an_advantage_is_paired() -> None:
    """Two scores that share their errors differ less than their own intervals say."""
    rng = np.random.default_rng(2)
    accuracy, error = rng.normal(size=(2, 50))
    better, worse = accuracy + 0.8 * error, accuracy + 1.1 * error
    truth = Truth(accuracy)
    gain = truth.advantage(list(better), list(worse))
    assert gain.low > 0
    assert truth.tau(list(worse)).high > truth.tau(list(better)).low
    assert gain.value == pytest.approx(truth.tau(list(better)).value - truth.tau(list(worse)).value)


def test_what_a_score_without_error_reaches() -> None:
    """Expectations correlate with the mean of seeds by the root of its reliability: τ is 2/π·asin of that."""
    rng = np.random.default_rng(3)
    found, exact = [], []
    for _ in range(30):
        expected = rng.normal(size=(100, 1))
        seeds = expected + rng.normal(size=(100, 2))
        found.append(reachable(seeds, draws=20))
        exact.append(kendall(expected[:, 0], seeds.mean(1)))
    reliability = 1 / (1 + 1 / 2)
    assert np.mean(found) == pytest.approx(2 / np.pi * np.arcsin(np.sqrt(reliability)), abs=0.02)
    assert np.mean(found) == pytest.approx(np.mean(exact), abs=0.02)


def test_nothing_is_reachable_where_seeds_explain_everything() -> None:
    assert np.isnan(reachable(np.array([[0.1, 0.9], [0.9, 0.1], [0.2, 0.7]])))
    assert reachable(np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])) == 1.0


def test_regret() -> None:
    truth = Truth(np.array([0.5, 0.9, 0.7, 0.8]))
    scores = [4.0, 1.0, 2.0, 3.0]
    assert [round(truth.regret(scores, count), 6) for count in (1, 2, 3, 4)] == [0.4, 0.1, 0.1, 0.0]


def test_originals_are_resampled_whole() -> None:
    """All of an original's pictures right or wrong together: the spread is that of 50 draws, not of 5,000."""
    rng = np.random.default_rng(3)
    right = rng.integers(2, size=50)
    correct = np.array([100 * right, np.full(50, 50)])
    resampled = resampled_accuracy(correct, np.full(50, 100), 2000)
    share = right.mean()
    assert resampled[:, 0].mean() == pytest.approx(share, abs=0.01)
    assert resampled[:, 0].std() == pytest.approx(np.sqrt(share * (1 - share) / 50), rel=0.1)
    assert np.allclose(resampled[:, 1], 0.5)


def test_networks_for_truth_are_drawn_once(tmp_path: Path) -> None:
    plan = Plan(
        space="mobilenetv2-32",
        data="digits",
        equal=3,
        across=4,
        seeds=1,
        equal_macs=1_000_000,
        macs_range=(650_000, 1_600_000),
        recipe=Recipe(),
    )
    networks = plan.networks(tmp_path)
    space = plan.search_space()
    macs = {group: [space.cost(a).macs for own, a in networks if own == group] for group in ("equal", "range")}
    assert all(970_000 <= count <= 1_030_000 for count in macs["equal"])
    assert len(macs["equal"]) == 3
    # A quarter of the logarithmic range apart, each within 3%.
    assert sorted(macs["range"]) == pytest.approx([726_000, 814_000, 1_020_000, 1_277_000], rel=0.04)
    longer = dataclasses.replace(plan, equal=5).networks(tmp_path)
    assert [pair for pair in longer if pair in networks] == networks
    assert len({architecture.digest() for _, architecture in longer}) == 9
    # What is kept counts, not the seed.
    assert dataclasses.replace(plan, seed=1).networks(tmp_path) == networks


def test_a_table_grows(tmp_path: Path) -> None:
    """Networks that it holds are not trained again, except by what they were not trained by."""
    folder = tmp_path / "trained"
    folder.mkdir()
    plan = Plan("mobilenetv2-32", "digits", 2, 0, 2, 1_000_000, (650_000, 1_600_000), Recipe(epochs=3))
    space = plan.search_space()

    def entry(group: str, architecture: Architecture) -> Entry:
        cost = space.cost(architecture)
        return Entry(architecture, cost.macs, cost.params, group, (0.5, 0.25), (0.5, 0.75))

    held = [entry(*network) for network in plan.networks(folder)]
    path = tmp_path / "table.json"
    recipe = {name: value for name, value in dataclasses.asdict(Recipe(epochs=3)).items() if name != "nesterov"}
    write_table(path, Table(plan.space, plan.data, recipe, tuple(held)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    grown = dataclasses.replace(plan, equal=3, across=1, known=read_table(path))
    assert without_trained_here(grown, elsewhere) == grown
    networks = grown.networks(elsewhere)
    assert [architecture for _, architecture in networks[:2]] == [entry.architecture for entry in held]
    assert grown.to_train(elsewhere) == networks[2:]
    for _, architecture in grown.to_train(elsewhere):
        for seed in (0, 1):
            results = elsewhere / f"{architecture.digest()[:16]}-{seed}"
            results.mkdir()
            right, counted = np.array([3, 1]), np.array([4, 4])
            np.savez(results / "result.npz", validation=0.5, correct=right, counted=counted, seconds=1.0)
    assert read(grown, elsewhere).test.tolist() == [[0.5, 0.5]] * 2
    assert read(dataclasses.replace(plan, known=read_table(path)), elsewhere).networks == []
    write_table(path, Table(plan.space, plan.data, recipe, tuple(entry(*network) for network in networks)))
    known = without_trained_here(dataclasses.replace(grown, known=read_table(path)), elsewhere).known
    assert known is not None
    assert [entry.architecture for entry in known.networks] == [entry.architecture for entry in held]
    for changed in ({"recipe": Recipe(epochs=4)}, {"seeds": 3}, {"data": "digits:clutter"}):
        with pytest.raises(InputError, match=f"the table's {next(iter(changed))}: expected"):
            dataclasses.replace(grown, **changed)
