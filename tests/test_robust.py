"""Classification under attack: the task, trainings on attacked pictures, and searches for robust networks."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from commands import retrain, retrain_setup, search
from commands.recipes import RECIPES, RETRAIN, chosen_method
from commands.search_checks import as_task
from commands.search_settings import SEARCH
from evaluators.supernet.sandwich import Sandwich
from evaluators.supernet.settings import SupernetRecipe
from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space.architecture import Attention
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.space import MobileSpace
from search_space.network import Network, build
from search_space.spaces import named_space, priced_space
from tasks.choice import task
from tasks.robustness.room import RobustClassification
from training import lanes
from training.attacks.box import Box
from training.attacks.joint import joint_losses
from training.attacks.pgd import pgd
from training.data.datasets import Dataset, load_data
from training.methods.choice import METHODS, Training
from training.methods.label_step import LabelStep
from training.methods.settings import Adversarial, ChosenMethod
from training.optimisers import rate
from training.recipe import Recipe
from training.task import on

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 32, CPU)


def _robust(data: Dataset, name: str = "robust:0.1:2") -> RobustClassification:
    found = on(task(name), data)
    assert isinstance(found, RobustClassification)
    return found


def _network(classes: int, kind: str = "none") -> Network:
    architecture = priced_space("mobilenetv2-32").smallest
    stages = tuple(replace(stage, attention=(Attention(kind),) * stage.depth) for stage in architecture.stages)
    network = build(replace(architecture, stages=stages), classes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


@settings(max_examples=20, deadline=None)
@given(
    epsilon=st.floats(0.001, 0.9),
    channels=st.sampled_from([1, 3]),
    begun=st.booleans(),
    steps=st.integers(0, 3),
    seed=st.integers(0, 100),
)
def test_no_attack_leaves_the_box(epsilon: float, channels: int, begun: bool, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]
    middle, spread = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    pixels = torch.rand(2, channels, 4, 4, generator=generator).expand(2, 3, 4, 4)
    images = (pixels - middle) / spread
    weights = torch.randn(3, 4, 4, generator=generator)
    start = 2 * torch.rand(2, 3, 4, 4, generator=generator) - 1 if begun else None
    box = Box.of(mean, std, epsilon)

    def losses(given: Tensor) -> Tensor:
        return (given * weights).sum((1, 2, 3))

    attacked = pgd(losses, images, box, steps=steps, step=0.4, start=start) * spread + middle
    assert ((attacked - pixels).abs() <= epsilon + 1e-5).all()
    assert (attacked >= -1e-6).all()
    assert (attacked <= 1 + 1e-6).all()
    if channels == 1:
        torch.testing.assert_close(attacked[:, 0], attacked[:, 2])


def test_enough_steps_reach_the_corner_of_the_box() -> None:
    images, weights = torch.zeros(1, 3, 2, 2), torch.randn(3, 2, 2)
    box = Box.of((0.5,) * 3, (0.25,) * 3, 0.1)
    found = pgd(lambda given: (given * weights).sum((1, 2, 3)), images, box, steps=3, step=0.5)
    torch.testing.assert_close(found[0], 0.4 * weights.sign())


@pytest.mark.parametrize("kind", ["none", "cifs"])
def test_the_task_measures_the_accuracy_under_its_attack(data: Dataset, kind: str) -> None:
    robust, network = _robust(data), _network(4, kind)
    batches = list(data.validation.batches(8))
    found = robust.measure(network, batches)
    taken, truth, natural = [], [], []
    for images, labels in batches:
        assert isinstance(labels, Tensor)
        losses = joint_losses(network, labels, 32)
        assert robust.box is not None
        taken.append(network(pgd(losses, images, robust.box, steps=2, step=1.25)).argmax(1))
        natural.append(network(images).argmax(1))
        truth.append(labels)
    right = (torch.cat(taken) == torch.cat(truth)).double().mean().item()
    measured = found.measured
    assert measured.value == pytest.approx(right)
    assert measured.beside["accuracy"] == pytest.approx((torch.cat(natural) == torch.cat(truth)).double().mean().item())
    assert [entry.name for entry in found.entries] == ["robust", "accuracy", "top5", "loss"]
    assert found.by_class is not None
    assert set(found.by_class().shares) == {"recall", "precision", "under attack"}
    assert not any(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("kind", ["none", "cifs_mlp"])
def test_what_it_measures_does_not_depend_on_lanes(data: Dataset, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    robust, network = _robust(data), _network(4, kind)
    found = []
    for count in (1, 2):
        monkeypatch.setattr(lanes._LANES, "count", count)
        found.append(robust.measure(network, data.validation.batches(4)).measured)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "epsilon", "steps"),
    [("robust", 8 / 255, 3), ("robust:0.1", 0.1, 3), ("robust:4/255:10", 4 / 255, 10)],
)
def test_its_name_says_the_attack(name: str, epsilon: float, steps: int) -> None:
    found = task(name)
    assert isinstance(found, RobustClassification)
    assert (found.name, found.steps) == (name, steps)
    assert found.epsilon == pytest.approx(epsilon)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "robust:0",
            "`task` robust:0: epsilon: expected a number above 0 and below 1, such as 8/255, got 0; "
            "give robust:EPSILON:STEPS",
        ),
        ("robust:8", "epsilon: expected a number above 0 and below 1, such as 8/255, got 8"),
        ("robust:1/0", "got 1/0"),
        ("robust:0.1:x", "expected 1 to 1000 steps after 0.1:, got x"),
        ("robust:0.1:0", "expected 1 to 1000 steps after 0.1:, got 0"),
    ],
)
def test_a_name_that_says_no_attack_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        task(name)
    assert message in str(caught.value)


def test_it_has_no_head_of_its_own() -> None:
    with pytest.raises(InputError, match="`head` bottleneck: unknown to task robust; leave it out"):
        task("robust", "bottleneck")


def _training(data: Dataset, kind: str = "none", **recipe: Any) -> Training:
    network = _network(4, kind)
    return Training(network, 32, Recipe(batch_size=32, **recipe), _robust(data), data, own=Adversarial("0.1", 2))


@pytest.mark.parametrize("kind", ["none", "cifs_mlp"])
@pytest.mark.parametrize("batch", [8, 32])
def test_a_step_learns_from_attacked_pictures(data: Dataset, kind: str, batch: int) -> None:
    """Of 32 in halves, each against its own twin."""
    training = _training(data, kind)
    step = METHODS["adversarial"](training)
    assert isinstance(step, LabelStep)
    images, labels = next(iter(data.train.batches(batch, seed=0)))
    seen: list[Tensor] = []
    original = RobustClassification.attacked

    class Spying(RobustClassification):
        def attacked(self, network: nn.Module, *arguments: Any) -> Tensor:
            assert not network.training
            seen.append(original(self, network, *arguments))
            return seen[-1]

    step.task = Spying("0.1:2", _robust(data).box)
    step.network.train()
    loss = step(images, labels, 0)
    assert math.isfinite(loss)
    assert step.network.training
    changed = torch.cat(seen)
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    assert len(seen) == (1 if batch == 8 else 2)
    assert all(parameter.grad is not None for parameter in training.network.parameters())
    norms = [module for module in training.network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}  # an attack moves none


@pytest.mark.parametrize("kind", ["none", "cifs_mlp"])
def test_a_step_has_the_same_bits_with_one_lane_and_with_two(
    data: Dataset, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = next(iter(data.train.batches(32, seed=0)))
    found = []
    for count in (1, 2):
        monkeypatch.setattr(lanes._LANES, "count", count)
        torch.manual_seed(3)
        training = _training(data, kind)
        METHODS["adversarial"](training)(images, labels, 0)
        found.append([parameter.grad for parameter in training.network.parameters()])
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_micro_batches_are_attacked_as_well(data: Dataset) -> None:
    images, labels = next(iter(data.train.batches(32, seed=0)))
    assert math.isfinite(METHODS["adversarial"](_training(data, micro_batch=8))(images, labels, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": task("classification")}, "for classification alone, not task classification; leave it out"),
        ({"recipe": Recipe(mixup=0.2)}, "`mixup` 0.2: task robust:0.1:2 attacks whole labels; give 0"),
        ({"teacher": lambda images: images}, "`teacher`: task robust:0.1:2 learns from labels alone; leave it out"),
    ],
    ids=["task", "mixup", "teacher"],
)
def test_what_it_has_no_use_for_is_refused(data: Dataset, change: dict[str, Any], message: str) -> None:
    for method in ("adversarial", "labels"):
        if method == "labels" and "task" in change:  # which is the usual one there
            continue
        with pytest.raises(InputError) as caught:
            METHODS[method](replace(_training(data), **change))
        assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["none", "cifs"])
def test_shared_weights_are_trained_on_attacked_pictures(data: Dataset, kind: str) -> None:
    offered, space = (Attention(kind),), named_space("mobile-32")
    assert isinstance(space, MobileSpace)
    space = replace(space, stages=tuple(replace(stage, attention=offered) for stage in space.stages))
    priced = PricedSpace(space, 4)
    store = WeightStore(space, 4)
    images, labels = next(iter(data.train.batches(8, seed=0)))
    losses = []
    for name in ("classification", "robust:0.3:2"):
        store.zero_grad()
        step = Sandwich(store, SupernetRecipe(), seed=0, priced=priced, task=on(task(name), data))
        torch.manual_seed(1)
        losses.append(step(images, labels, 0))
        assert all(tensor.grad is not None for name, tensor in store.tensors.items() if name.startswith("stem"))
    assert losses[1] > losses[0]


@pytest.fixture
def command(tmp_path: Path, picture_folder: Path) -> list[str]:
    source = tmp_path / "architecture.json"
    source.write_text(json.dumps(priced_space("mobilenetv2-32").smallest.to_dict()))
    more = ["--data", f"folder:{picture_folder}", "--epochs", "3", "--batch-size", "16", "--quiet"]
    return [str(source), *more, "--method", "adversarial", "--epsilon", "0.1", "--attack-steps", "2"]


def test_a_head_that_would_be_left_out_is_refused(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="`method` adversarial: for a linear classifier alone, not for head bottleneck"
    ):
        retrain.main([*command, "--task", "classification:bottleneck", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_killed_training_ends_with_the_same_bits(
    command: list[str], tmp_path: Path, killed_at: Callable[..., None]
) -> None:
    retrain.main([*command, "--out", str(tmp_path / "whole")])
    (result,) = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert result["test"].keys() == {"robust", "accuracy", "loss"}
    recipe = json.loads((tmp_path / "whole" / "given-0" / "recipe.json").read_text())
    assert (recipe["method"], recipe["task"]) == ("adversarial", "robust:0.1:2")
    killed_at(LabelStep, 6, lambda: retrain.main([*command, "--out", str(tmp_path / "killed")]))
    retrain.main([*command, "--out", str(tmp_path / "killed")])
    name = "given-0/weights.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


@pytest.mark.parametrize(
    ("recorded", "flags", "expected"),
    [
        ("robust:0.1:2", [], "robust:0.1:10"),  # a search's few steps are for ranking
        ("robust:0.1:2", ["--epsilon", "0.2", "--attack-steps", "3"], "robust:0.2:3"),
        ("robust:0.1:2", ["--task", "robust:4/255:5"], "robust:4/255:5"),
        ("classification", ["--task", "robust:4/255"], "robust:4/255:10"),
        ("classification", ["--task", "robust:4/255:5", "--attack-steps", "7"], "robust:4/255:7"),
        ("robust", [], "robust:8/255:10"),
        ("classification", [], "robust:8/255:10"),
    ],
)
def test_the_attack_of_the_tasks_name_is_not_lost(recorded: str, flags: list[str], expected: str) -> None:
    parsed = RETRAIN.parse(["network.json", "--method", "adversarial", *flags])
    method = retrain_setup.attacking(parsed, recorded, chosen_method(parsed))
    assert retrain_setup.task_name(parsed, recorded, method) == expected
    assert f"robust:{method.own.epsilon}:{method.own.attack_steps}" == expected


def test_a_tasks_attack_that_cannot_be_read_is_refused_whatever_the_method() -> None:
    parsed = RETRAIN.parse(["network.json", "--method", "adversarial", "--task", "robust:0.1:x"])
    with pytest.raises(InputError, match=re.escape("`task` robust:0.1:x: expected 1 to 1000 steps after 0.1:, got x")):
        retrain_setup.attacking(parsed, "classification", chosen_method(parsed))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epsilon", "2"], "`epsilon`: expected a number above 0 and below 1, such as 8/255, got 2"),
        (["--method", "labels"], "--epsilon 0.1: it is for --method adversarial alone; leave it out"),
    ],
)
def test_bad_input_is_told_by_name(command: list[str], tmp_path: Path, more: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        retrain.main([*command, *more, "--out", str(tmp_path / "out")])
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_search_ranks_by_accuracy_under_attack(tmp_path: Path, picture_folder: Path) -> None:
    flags = ["--data", f"folder:{picture_folder}", "--objectives", "robust,macs", "--quiet", "--out", str(tmp_path)]
    few = ["--supernet-epochs", "1", "--trials", "4", "--startup", "3", "--finalists", "0", "--prior", "none"]
    search.main([*flags, *few])
    front = json.loads((tmp_path / "front.json").read_text())
    assert all(one["metrics"].keys() == {"robust", "accuracy", "loss"} for one in front["front"])
    retrain.main([str(tmp_path), "--epochs", "1", "--quiet"])
    described = json.loads((tmp_path / "retrain" / "found-0" / "recipe.json").read_text())
    assert described["task"] == "robust"


def test_an_objective_names_the_task_unless_a_task_is_named() -> None:
    for flags, expected in (
        (["--objectives", "robust,macs"], "robust"),
        (["--objectives", "accuracy"], "classification"),
        (["--objectives", "robust", "--task", "robust:0.1"], "robust:0.1"),
        ([], "classification"),
    ):
        assert as_task(SEARCH.parse(flags)).task == expected


def test_the_published_schedule() -> None:
    recipe = RECIPES["adversarial"]
    steps = 120
    assert recipe.epochs == steps
    rates = [recipe.learning_rate * rate(epoch, steps, recipe) for epoch in range(steps)]
    assert [rates[epoch] for epoch in (0, 74, 75, 89, 90, 119)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert chosen_method(RETRAIN.parse(["x", "--method", "adversarial"])) == ChosenMethod(
        "adversarial", Adversarial("8/255", 10)
    )
