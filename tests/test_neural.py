"""Simulated neurons: ridge regression, noise ceiling, the hidden network, the task, and changes to pictures."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from torch import Tensor

from commands import retrain, search
from evaluators.finalists import FOLDER as FINALISTS
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.network import Network, build
from search_space.spaces import priced_space
from tasks.choice import task
from tasks.neural.brain import Brain, HiddenNetwork, brain_of
from tasks.neural.ceiling import noise_ceiling, responded
from tasks.neural.fooling import blended, descended, mean_squared, noisy, share_to_blend, within
from tasks.neural.ridge import (
    PENALTIES,
    Regression,
    explained_variance,
    left_out_errors,
    over_neurons,
    predicted_in_folds,
    ridge,
)
from tasks.neural.room import NEURAL, NeuralPrediction
from training import lanes
from training.data.datasets import Dataset, load_data
from training.methods.label_step import LabelStep

CPU = torch.device("cpu")
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 32, CPU)


@pytest.fixture
def brain() -> Brain:
    """One of random weights, whose neurons all respond."""
    made = Brain(4, neurons=12)
    torch.nn.init.normal_(made.projection, std=1.0)
    made.scale.fill_(0.3)
    made.centre.fill_(0.3)
    return made.eval().requires_grad_(False)


def _drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.integers(1, 12), st.integers(1, 4), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_ridge_is_scikit_learns(pictures: int, channels: int, neurons: int, penalty: float, seed: int) -> None:
    features, responses = _drawn(pictures, channels, seed=seed), _drawn(pictures, neurons, seed=seed + 1)
    theirs = Ridge(alpha=penalty, fit_intercept=False).fit(features.numpy(), responses.numpy()).coef_
    np.testing.assert_allclose(ridge(features, responses, penalty).T.numpy(), theirs.reshape(neurons, -1), atol=1e-8)


def test_the_penalty_is_the_one_that_does_best_on_the_picture_left_out() -> None:
    features, responses = _drawn(40, 9), _drawn(40, 5, seed=1)
    responses += features @ _drawn(9, 5, seed=2)
    errors = []
    for penalty in (0.1, 10.0, 1000.0):
        squares = []
        for number in range(40):
            others = torch.arange(40) != number
            predicted = features[number] @ ridge(features[others], responses[others], penalty)
            squares.append((predicted - responses[number]).square().mean())
        errors.append(float(torch.stack(squares).mean()))
    assert left_out_errors(features, responses, (0.1, 10.0, 1000.0)) == pytest.approx(errors)
    known = (features - features.mean(0)) / features.std(0, correction=0)
    penalties = [40 * penalty for penalty in PENALTIES]
    theirs = RidgeCV(alphas=penalties, fit_intercept=False).fit(known.numpy(), (responses - responses.mean(0)).numpy())
    assert Regression.fitted(features, responses).penalty == pytest.approx(theirs.alpha_)


def test_explained_variance_is_scikit_learns() -> None:
    responses = _drawn(30, 6)
    predicted = responses + 0.5 * _drawn(30, 6, seed=1)
    theirs = r2_score(responses.numpy(), predicted.numpy(), multioutput="raw_values")
    found = explained_variance(predicted, responses)
    np.testing.assert_allclose(found.numpy(), theirs)
    weighted = r2_score(responses.numpy(), predicted.numpy(), multioutput="variance_weighted")
    assert over_neurons(found, responses) == pytest.approx(weighted)


def test_a_neuron_that_always_responds_alike_is_left_out() -> None:
    responses = _drawn(30, 3)
    responses[:, 1] = 0.0
    predicted = responses + 0.1
    found = explained_variance(predicted, responses)
    assert found.isnan().tolist() == [False, True, False]
    others = responses[:, [0, 2]]
    assert over_neurons(found, responses) == pytest.approx(over_neurons(found[[0, 2]], others))


def test_features_that_say_nothing_are_not_divided_by() -> None:
    features = _drawn(20, 3)
    features[:, 1] = 2.0
    fitted = Regression.fitted(features, _drawn(20, 2, seed=1))
    assert bool(fitted(features).isfinite().all())
    unlike = features.clone()
    unlike[:, 1] = 5.0
    torch.testing.assert_close(fitted(unlike), fitted(features))


def test_each_picture_is_predicted_by_the_others_alone() -> None:
    features, responses = _drawn(24, 4), _drawn(24, 2, seed=1)
    before = predicted_in_folds(features, responses, 4)
    changed = responses.clone()
    changed[[0, 4, 8, 12, 16, 20]] += 100.0
    torch.testing.assert_close(predicted_in_folds(features, changed, 4)[::4], before[::4])


def test_without_noise_the_ceiling_is_1() -> None:
    halves = responded(_drawn(50, 7).abs(), 0, fano=0.0)
    torch.testing.assert_close(noise_ceiling(halves), torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize("fano", [0.5, 2.0])
def test_the_ceiling_is_what_a_perfect_prediction_explains(fano: float) -> None:
    clean = _drawn(20_000, 4).abs()
    halves = responded(clean, 3, repeats=10, fano=fano)
    noise, signal = fano * clean.mean(0) / 10, clean.var(0)
    torch.testing.assert_close(noise_ceiling(halves), signal / (signal + noise), rtol=0.02, atol=0)
    torch.testing.assert_close(explained_variance(clean, halves.mean), noise_ceiling(halves), rtol=0.02, atol=0)


def test_the_ceiling_of_noise_alone_is_low() -> None:
    assert float(noise_ceiling(responded(torch.ones(20_000, 3), 0)).max()) < 0.05


def test_a_kill_changes_no_bit_of_the_neurons(
    data: Dataset, tmp_path: Path, brief: None, killed_at: Callable[..., None]
) -> None:
    whole = brain_of(data, tmp_path / "whole", QUIET)
    killed_at(LabelStep, 6, lambda: brain_of(data, tmp_path / "killed", QUIET))
    brain_of(data, tmp_path / "killed", QUIET)
    files = [tmp_path / name / "neurons.safetensors" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["neurons.safetensors"]
    assert not any(parameter.requires_grad for parameter in whole.parameters())
    images = torch.cat([images for images, _ in data.train.batches(64)])
    active = (whole.clean(images) > 0).double().mean()
    assert 0.2 < float(active) < 0.8


def test_a_file_of_other_neurons_is_refused(data: Dataset, tmp_path: Path, brief: None) -> None:
    brain_of(data, tmp_path, QUIET)
    before = (tmp_path / "neurons.safetensors").read_bytes()
    message = "neurons.safetensors: made from other pictures, or with another seed; use another `out`, or remove it"
    with pytest.raises(InputError, match=re.escape(message)):
        brain_of(data, tmp_path, QUIET, seed=1)
    assert (tmp_path / "neurons.safetensors").read_bytes() == before


def _network(classes: int = 4) -> Network:
    network = build(priced_space("mobilenetv2-32").smallest, classes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def _neural(brain: Brain) -> NeuralPrediction:
    found = task("neural")
    assert isinstance(found, NeuralPrediction)
    found.brain = brain
    return found


def test_the_task_measures_the_share_of_the_noise_ceiling(
    data: Dataset, brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, neural = _network(), _neural(brain)
    found = neural.measure(network, data.train.batches(16))
    measured = found.measured
    assert measured.metric is NEURAL
    assert measured.beside.keys() == set(NEURAL.beside)
    assert measured.value == pytest.approx(measured.beside["explained"] / measured.beside["ceiling"])
    usual = task("classification").measure(network, data.train.batches(16))
    assert measured.beside["accuracy"] == usual.measured.value
    monkeypatch.setattr(lanes._LANES, "count", 2)
    assert neural.measure(network, data.train.batches(16)).measured == measured


def test_what_the_classifier_reads_predicts_the_neurons(data: Dataset) -> None:
    """Of neurons that are functions of just that, nearly all but their noise is explained."""
    network = _network()

    class Same(Brain):
        def clean(self, images: Tensor) -> Tensor:
            features = network.last_map(images).mean((2, 3))[:, :3]
            return 500 + 200 * (features / features.std(0))

    neural = task("neural")
    assert isinstance(neural, NeuralPrediction)
    neural.brain = Same(data.num_classes)
    assert neural.measure(network, data.train.batches(len(data.train))).measured.value > 0.8


def test_few_pictures_are_refused(data: Dataset, brain: Brain) -> None:
    few = data.train.subset(torch.arange(10))
    message = "`task` neural: 10 pictures, on which neurons cannot be fitted and scored; give `data` with at least 16"
    with pytest.raises(InputError, match=re.escape(message)):
        _neural(brain).measure(_network(), few.batches(5))


def test_features_that_are_no_numbers_have_no_score(data: Dataset, brain: Brain) -> None:
    network = _network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    assert np.isnan(_neural(brain).measure(network, data.train.batches(64)).measured.value)


@pytest.mark.parametrize("name", ["neural:x", "neural:-1", "neural:1000001"])
def test_a_seed_that_is_none_is_told(name: str) -> None:
    message = f"`task` {name}: expected the hidden network's seed, 0 to 1000000, got {name[7:]}; give neural:SEED"
    with pytest.raises(InputError, match=re.escape(message)):
        task(name)


pictures_of = st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(0, 99), st.floats(0, 0.3))


def _pictures(count: int, channels: int, seed: int) -> Tensor:
    return torch.rand(count, channels, 6, 6, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(pictures_of, st.integers(0, 4))
def test_no_change_exceeds_its_budget(drawn: tuple[int, int, int, float], steps: int) -> None:
    count, channels, seed, budget = drawn
    pictures, others = _pictures(count, channels, seed), _pictures(count, channels, seed + 1)
    weights = torch.randn(pictures.shape[1:], generator=torch.Generator().manual_seed(seed))

    def distances(given: Tensor) -> Tensor:
        return (given * weights).sum((1, 2, 3))

    for changed in (
        noisy(pictures, budget, list(range(count))),
        blended(pictures, others, budget),
        descended(distances, pictures, budget, steps=steps),
        descended(distances, pictures, budget, steps=steps, smoothing=1 / 12),
        within(pictures + 3 * weights, pictures, budget),
    ):
        assert float(mean_squared(changed.double(), pictures.double()).max()) <= budget * (1 + 1e-4) + 1e-12
        assert float(changed.min()) >= 0
        assert float(changed.max()) <= 1
        if budget == 0:
            assert torch.equal(changed, pictures)


def test_noise_spends_its_budget() -> None:
    pictures = _pictures(3, 1, 0)
    torch.testing.assert_close(mean_squared(noisy(pictures, 0.02, [1, 2, 3]), pictures), torch.full((3,), 0.02))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(0.01, 0.99))
def test_a_blend_is_whole_just_where_the_budget_reaches(seed: int, share: float) -> None:
    picture, other = _pictures(1, 3, seed).double(), _pictures(1, 3, seed + 1).double()
    error = float(mean_squared(other, picture))
    assert float(share_to_blend(picture, other, error)) == pytest.approx(1)
    assert torch.allclose(blended(picture, other, error), other)
    assert float(share_to_blend(picture, other, share**2 * error)) == pytest.approx(share)
    assert float(share_to_blend(picture, other, 2 * error)) == 1


def test_what_looks_into_the_hidden_network_reaches_the_target(brain: Brain) -> None:
    """A substitute that is the hidden network itself, no noise, and a large budget: the distance goes to 0."""
    pictures = _pictures(4, 3, 0)
    pictures = torch.nn.functional.interpolate(pictures, size=32)
    wanted = brain.clean(pictures[[1, 2, 3, 0]])

    def distances(given: Tensor) -> Tensor:
        return ((brain.clean(given) - wanted) ** 2).mean(1)

    before = distances(pictures)
    assert torch.equal(descended(distances, pictures, 0.0, steps=2), pictures)
    after = distances(descended(distances, pictures, 1.0, steps=100))
    assert float((after / before).max()) < 0.01
    smoothed = descended(distances, pictures, 1.0, steps=10, smoothing=1 / 12)
    assert bool((distances(smoothed) < before).all())


def test_the_hidden_network_is_of_no_family_here() -> None:
    assert not isinstance(HiddenNetwork(3), Network)
    assert HiddenNetwork(3)(torch.zeros(2, 3, 20, 20)).shape == (2, 3)


def test_a_search_ranks_by_simulated_neurons_and_a_retraining_tests_by_them(
    tmp_path: Path, picture_folder: Path, brief: None, short_recipes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.neural.room.FEWEST", 4)
    flags = ["--data", f"folder:{picture_folder}", "--task", "neural", "--quiet", "--out", str(tmp_path)]
    few = ["--supernet-epochs", "1", "--trials", "4", "--startup", "3", "--finalists", "2", "--prior", "none"]
    search.main([*flags, *few, "--dry-run"])
    assert not any(tmp_path.iterdir())
    search.main([*flags, *few])
    front = json.loads((tmp_path / "front.json").read_text())
    assert all(one["metrics"].keys() == {NEURAL.name, *NEURAL.beside} for one in front["front"])
    assert (tmp_path / "neurons.safetensors").exists()
    assert len(list((tmp_path / FINALISTS).iterdir())) == 2
    retrain.main([str(tmp_path), "--epochs", "1", "--quiet"])
    (result,) = json.loads((tmp_path / "retrain" / "results.json").read_text())
    assert result["test"].keys() == {NEURAL.name, *NEURAL.beside}
    kept = json.loads((tmp_path / "retrain" / "found-0" / "test.json").read_text())
    assert [entry["heading"] for entry in kept["entries"]][:3] == ["simulated neurons", "explained", "ceiling"]
    ours, theirs = (folder / "neurons.safetensors" for folder in (tmp_path, tmp_path / "retrain"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert NEURAL.name in (tmp_path / "report.html").read_text()
