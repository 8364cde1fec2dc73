"""Core-tuning: what hard pairs are, the contrast against a peer's, and trainings that replay."""

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
from PIL import Image
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor, nn
from torch.nn import functional as F

from commands import retrain
from commands.recipes import RETRAIN, chosen_method
from foundation.errors import InputError
from search_space.cost.cost import measure
from search_space.network import build
from search_space.spaces import priced_space
from tasks.choice import task
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import load_weights
from training.data.datasets import Dataset, load_data
from training.methods.choice import METHODS, Training
from training.methods.contrast import Projector, contrast
from training.methods.core_tuning import CoreTuningStep
from training.methods.hard_pairs import LEAST, Draws, Enlarged, enlarged
from training.methods.settings import ChosenMethod, CoreTuning
from training.recipe import Recipe

TEMPERATURE = 0.07
CPU = torch.device("cpu")


def _batch(labels: list[int], draws: Draws | None = None, width: int = 6) -> tuple[Tensor, Tensor, Enlarged]:
    """Features that have gradients, labels, and the batch that is made of them."""
    features = torch.randn(len(labels), width).requires_grad_()
    given = torch.tensor(labels)
    return features, given, enlarged(features, given, 4, draws or Draws.of(len(labels), CPU))


def _whole(count: int) -> Draws:
    """λ is 1 in both mixtures."""
    return Draws(torch.rand(count, count), torch.ones(count), torch.ones(count))


def _loss(features: Tensor, labels: Tensor, draws: Draws) -> Tensor:
    """The contrast of the features themselves, without a projector."""
    batch = enlarged(features, labels, 4, draws)
    return contrast(F.normalize(batch.features), batch.positive, batch.negative, temperature=TEMPERATURE, focal=True)


def test_without_the_focal_weight_it_is_the_supervised_contrast_of_a_peer() -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 0, 3, 1])  # one is alone in its class
    features = torch.randn(8, 5)
    same, alone = labels[:, None] == labels, torch.eye(8, dtype=torch.bool)
    ours = contrast(F.normalize(features), same & ~alone, ~same, temperature=TEMPERATURE)
    torch.testing.assert_close(ours, SupConLoss(temperature=TEMPERATURE)(features, labels))


def test_with_the_mixtures_it_is_a_peer_s_loss_of_the_same_pairs() -> None:
    _, _, batch = _batch([0, 1, 2, 0, 1, 0, 3, 1])
    embeddings = batch.features.detach()
    (first, positive), (second, negative) = (torch.where(mask) for mask in (batch.positive, batch.negative))
    theirs = SupConLoss(temperature=TEMPERATURE)(embeddings, indices_tuple=(first, positive, second, negative))
    ours = contrast(F.normalize(embeddings), batch.positive, batch.negative, temperature=TEMPERATURE)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("p", "term", "slope"), [(0.1, 2.0723, 1.1303), (0.5, 0.34657, 0.84657), (0.9, 0.010537, 0.19482)]
)
def test_the_focal_term_and_its_slope(p: float, term: float, slope: float) -> None:
    """The slope by log p is 1 - p - p log p: the weight is not detached."""
    gap = torch.tensor(math.log(p / (1 - p)) / 4).requires_grad_()
    # Cosines are the second row's and the third's first coordinate, as nothing asks for their lengths.
    projected = torch.stack((torch.tensor([1.0, 0.0]), torch.stack((gap, torch.tensor(0.0))), torch.zeros(2)))
    mask = torch.tensor([[False, True, False]])
    loss = contrast(projected, mask, mask.roll(1), temperature=0.25, focal=True)
    assert loss.item() == pytest.approx(term, rel=1e-4)
    loss.backward()
    assert gap.grad is not None
    # d log p / d gap is (1 - p) / temperature.
    assert -gap.grad.item() / ((1 - p) / 0.25) == pytest.approx(slope, rel=1e-4)


def test_with_whole_shares_the_mixtures_are_the_partners() -> None:
    labels = [0, 1, 0, 1, 2, 2, 0]
    draws = _whole(7)
    features, given, batch = _batch(labels, draws)
    unit = F.normalize(features.detach())
    for index, label in enumerate(labels):
        others = [other for other in range(7) if labels[other] != label]
        mates = [other for other in range(7) if labels[other] == label and other != index]
        partner = max(others, key=lambda other: draws.partners[index, other])
        farthest = min(mates, key=lambda other: unit[index] @ unit[other])
        assert torch.equal(batch.features[7 + index], features[partner])
        assert torch.equal(batch.features[14 + index], features[farthest])
        assert batch.shares[7 + index].argmax() == labels[partner]
        assert batch.shares[14 + index].argmax() == label
    assert torch.equal(batch.features[:7], features)
    assert torch.equal(batch.shares[:7].argmax(1), given)


def test_hard_positives_are_mined_where_all_cosines_are_above_0() -> None:
    """Pooled features after a ReLU: what is no pair must not pass for the least similar one."""
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    features = torch.rand(6, 8) + 0.1
    batch = enlarged(features, labels, 2, _whole(6))
    mined = [int((features == row).all(1).nonzero()) for row in batch.features[12:]]
    assert all(labels[mined[index]] == labels[index] and mined[index] != index for index in range(6))


def test_mixtures_lie_between_their_parts_and_labels_are_mixed_alike() -> None:
    draws = Draws.of(8, CPU)
    _, labels, batch = _batch([0, 1, 2, 0, 1, 2, 0, 1], draws)
    torch.testing.assert_close(batch.shares.sum(1), torch.ones(24))
    for index in range(8):
        share = batch.shares[8 + index]
        weight = max(LEAST, draws.negative[index].item())
        assert share.max().item() == pytest.approx(weight)
        assert share[labels[index]].item() == pytest.approx(1 - weight)  # the partner is of another class
        assert batch.shares[16 + index, labels[index]].item() == pytest.approx(draws.positive[index].item())
    assert (draws.negative < LEAST).any()
    assert (draws.positive < LEAST).any()


def test_positives_and_negatives_are_what_they_are_called() -> None:
    _, labels, batch = _batch([0, 1, 2, 0, 1, 2, 0, 1])
    assert not (batch.positive & batch.negative).any()
    for index in range(8):
        positive, negative = (set(mask[index].nonzero()[:, 0].tolist()) for mask in (batch.positive, batch.negative))
        mates = {other for other in range(8) if labels[other] == labels[index] and other != index}
        assert positive == mates | {16 + index}  # the originals of the class, and the own hard positive
        assert 8 + index in negative
        assert index not in negative
        for row in negative - {8 + index}:
            assert batch.shares[row, labels[index]] == 0


@settings(deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=2, max_size=12), seed=st.integers(0, 99))
def test_any_batch_is_whole(labels: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    features, _, batch = _batch(labels)
    several = len(set(labels)) > 1
    assert len(batch.features) == len(labels) * (1 + several) + sum(labels.count(label) > 1 for label in labels)
    assert batch.positive.shape == batch.negative.shape == (len(labels), len(batch.features))
    torch.testing.assert_close(batch.shares.sum(1), torch.ones(len(batch.features)))
    counts = [labels.count(label) for label in labels]
    assert batch.positive.sum(1).tolist() == [count if count > 1 else 0 for count in counts]
    projected = F.normalize(batch.features)
    loss = contrast(projected, batch.positive, batch.negative, temperature=TEMPERATURE, focal=True)
    (gradient,) = torch.autograd.grad(loss, features)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_everything_has_a_gradient() -> None:
    features, _, batch = _batch([0, 1, 2, 0, 1, 2])
    rows = torch.randn_like(batch.features)
    for part in (slice(0, 6), slice(6, 12), slice(12, 18)):
        (gradient,) = torch.autograd.grad((batch.features[part] * rows[part]).sum(), features, retain_graph=True)
        assert (gradient.abs().sum(1) > 0).any()
    (gradient,) = torch.autograd.grad(batch.features[:6].sum(), features, retain_graph=True)
    assert (gradient == 1).all()  # the originals are not detached


def test_a_batch_of_one_class_has_no_hard_negatives() -> None:
    features, labels, batch = _batch([1, 1, 1, 1])
    assert len(batch.features) == 8
    unit = F.normalize(features.detach())
    farthest = (unit @ unit.T).fill_diagonal_(2).argmin(1)
    assert torch.equal(batch.features[4:], features[farthest])
    assert (batch.shares.argmax(1) == 1).all()
    loss = _loss(features, labels, Draws.of(4, CPU)) + F.cross_entropy(features[:, :4], batch.shares[:4])
    assert torch.isfinite(loss)


def test_without_any_positive_the_contrast_is_0_and_so_is_its_gradient() -> None:
    features, labels, batch = _batch([0, 1, 2, 3])
    assert len(batch.features) == 8  # no hard positives
    loss = _loss(features, labels, Draws.of(4, CPU))
    assert loss.item() == 0
    loss.backward()
    assert features.grad is not None
    assert not features.grad.any()


def test_a_picture_that_is_alone_in_its_class_anchors_nothing() -> None:
    features, labels, batch = _batch([0, 0, 1, 1, 2])
    assert len(batch.features) == 5 + 5 + 4
    assert not batch.positive[4].any()
    assert torch.isfinite(_loss(features, labels, Draws.of(5, CPU)))


def test_permuting_the_batch_permutes_the_gradients() -> None:
    labels, draws = torch.tensor([0, 1, 2, 0, 1, 2, 0, 3]), Draws.of(8, CPU)
    features = torch.randn(8, 6)
    order = torch.randperm(8)
    moved = Draws(draws.partners[order][:, order], draws.negative[order], draws.positive[order])
    found = []
    for each, target, drawn in ((features, labels, draws), (features[order], labels[order], moved)):
        leaf = each.clone().requires_grad_()
        batch = enlarged(leaf, target, 4, drawn)
        loss = _loss(leaf, target, drawn) + F.cross_entropy(batch.features[:, :4], batch.shares)
        found.append(torch.autograd.grad(loss, leaf)[0])
    torch.testing.assert_close(found[0][order], found[1])


@pytest.mark.parametrize(("width", "parameters"), [(2048, 4_720_896), (1280, 1_967_616)])
def test_the_projector_s_size(width: int, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in Projector(width).parameters()) == parameters


def test_the_projector_s_rows_have_length_1() -> None:
    torch.testing.assert_close(Projector(8)(torch.randn(3, 8)).norm(dim=1), torch.ones(3))


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 32, CPU)


def _training(data: Dataset, contrast: float = 0.1, **recipe: Any) -> Training:
    network = build(priced_space("mobilenetv2-32").smallest, data.num_classes)
    given = Recipe(batch_size=16, **recipe)
    return Training(network, 32, given, CLASSIFICATION, data, own=CoreTuning(contrast))


def test_a_step_moves_batch_statistics_once_and_reaches_network_and_projector(data: Dataset) -> None:
    training = _training(data)
    step = METHODS["core-tuning"](training)
    assert isinstance(step, CoreTuningStep)
    images, labels = next(iter(data.train.batches(16, seed=0)))
    norms = [module for module in step.network.modules() if isinstance(module, nn.BatchNorm2d)]
    step(images, labels, 0)
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
    assert all(parameter.grad is not None for parameter in step.model.parameters())
    assert step.evaluated() is training.network
    assert not any("projector" in name for name in step.evaluated().state_dict())


def test_the_loss_is_that_of_labels_and_contrast(data: Dataset) -> None:
    images, labels = next(iter(data.train.batches(16, seed=0)))
    losses = []
    for weight in (0.0, 0.5, 1.0):
        torch.manual_seed(5)
        step = METHODS["core-tuning"](_training(data, weight))
        torch.manual_seed(6)
        losses.append(step(images, labels, 0))
    assert losses[1] - losses[0] == pytest.approx(losses[2] - losses[1], rel=1e-3)
    assert losses[1] > losses[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_classifier_learns_all_rows(data: Dataset, smoothing: float) -> None:
    """Without contrast the loss is the cross-entropy of pictures and mixtures, by their mixed labels."""
    training = _training(data, 0.0, label_smoothing=smoothing)
    images, labels = next(iter(data.train.batches(16, seed=0)))
    step = METHODS["core-tuning"](training)
    torch.manual_seed(6)
    found = step(images, labels, 0)
    network = training.network
    features = network.last_map(images).mean((2, 3))
    torch.manual_seed(6)
    batch = enlarged(features, labels, 4, Draws.of(16, CPU))
    logits = F.linear(batch.features, network.classifier.weight, network.classifier.bias)
    spread = (1 - smoothing) * batch.shares + smoothing / 4
    assert len(logits) == 48
    assert found == pytest.approx(-(spread * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-5)


def test_micro_batches_are_batches_of_their_own(data: Dataset) -> None:
    step = METHODS["core-tuning"](_training(data, micro_batch=8))
    images, labels = next(iter(data.train.batches(16, seed=0)))
    assert math.isfinite(step(images, labels, 0))
    norm = next(module for module in step.model.modules() if isinstance(module, nn.BatchNorm2d))
    assert int(norm.num_batches_tracked) == 2


@pytest.fixture
def command(tmp_path: Path, picture_folder: Path) -> list[str]:
    source = tmp_path / "architecture.json"
    source.write_text(json.dumps(priced_space("mobilenetv2-32").smallest.to_dict()))
    more = ["--data", f"folder:{picture_folder}", "--epochs", "3", "--batch-size", "16", "--quiet"]
    return [str(source), *more, "--method", "core-tuning"]


def test_the_command_keeps_the_network_alone(command: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    retrain.main([*command, "--contrast", "0.3", "--dry-run", "--out", str(out)])
    assert not out.exists()
    retrain.main([*command, "--contrast", "0.3", "--out", str(out)])
    recipe = json.loads((out / "given-0" / "recipe.json").read_text())
    assert (recipe["method"], recipe["method_settings"]) == ("core-tuning", {"contrast": 0.3})
    kept = load_weights(out / "given-0" / "weights.safetensors")[0]
    architecture = priced_space("mobilenetv2-32").smallest
    assert kept.keys() == build(architecture, 4).state_dict().keys()
    (result,) = json.loads((out / "results.json").read_text())
    assert result["cost"] == measure(architecture, 4).to_dict()
    with pytest.raises(InputError, match=r"holds another run: `contrast` is 0\.3 there and 0\.4 here"):
        retrain.main([*command, "--contrast", "0.4", "--out", str(out)])


def test_a_killed_training_ends_with_the_same_bits(
    command: list[str], tmp_path: Path, killed_at: Callable[..., None]
) -> None:
    retrain.main([*command, "--out", str(tmp_path / "whole")])
    killed_at(CoreTuningStep, 6, lambda: retrain.main([*command, "--out", str(tmp_path / "killed")]))
    retrain.main([*command, "--out", str(tmp_path / "killed")])
    name = "given-0/weights.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--contrast", "101"], "core-tuning: `contrast`: expected 0.0 to 100.0, got 101.0"),
        (
            ["--method", "labels", "--contrast", "0.1"],
            "--contrast 0.1: it is for --method core-tuning alone",
        ),
        (["--mixup", "0.1"], "`mixup` 0.1: method core-tuning mixes features, of pictures of one class each; give 0"),
        (
            ["--head", "bottleneck"],
            "wants a linear classifier on the mean over a map, which is no bottleneck of 256 channels, 4 classes; give "
            "`method` labels, or leave `head` out",
        ),
    ],
)
def test_bad_input_is_told_by_name_before_anything_is_written(
    command: list[str], tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        retrain.main([*command, *more, "--out", str(tmp_path / "out")])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            [],
            "`method` core-tuning: for class labels alone, which task segmentation does not have; give `method` labels",
        ),
        (["--method", "labels", "--cutmix", "1"], "`cutmix` 1: for class labels alone, which task segmentation does"),
    ],
)
def test_another_task_is_refused_before_anything_is_written(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], message: str
) -> None:
    monkeypatch.setattr("training.data.scenes.SIZES", {"train": 16, "validation": 8, "test": 8})
    source = Path(command[0])
    source.write_text(replace(priced_space("mobilenetv2-32").smallest, resolution=48).to_json())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError) as caught:
        retrain.main([*command, "--task", "segmentation", "--data", "scenes", *more, "--out", str(tmp_path / "out")])
    assert str(caught.value).startswith(message)
    assert sorted(tmp_path.iterdir()) == before


def _folder(root: Path, *classes: str) -> str:
    """Three pictures of each class that is named without a `-`."""
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(0 if "-" in name else 3):
            Image.new("RGB", (32, 32)).save(root / name / f"{number}.png")
    return f"folder:{root}"


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a"], "one class (a) below"),
        (["a", "b", "c-empty"], "c-empty has no pictures; fill it or remove it"),
        (["a-empty", "b-empty"], "no pictures below"),
    ],
    ids=["one class", "an empty class", "no pictures"],
)
def test_bad_pictures_are_told_by_name(command: list[str], tmp_path: Path, classes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        retrain.main([*command, "--data", _folder(tmp_path / "pictures", *classes)])


def test_another_number_of_classes_is_told(command: list[str], tmp_path: Path) -> None:
    source = Path(command[0])
    content = {"architecture": json.loads(source.read_text()), "classes": ["a", "b", "c"]}
    source.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"4 classes \(digit0, …\), but the architecture was found for 3 classes"):
        retrain.main(command)


def test_what_the_method_has_no_use_for_is_refused(data: Dataset) -> None:
    whole = _training(data)
    other = replace(whole, task=task("segmentation", None))
    with pytest.raises(InputError, match="`method` core-tuning: for class labels alone, which task segmentation does"):
        METHODS["core-tuning"](other)
    with pytest.raises(InputError, match="`teacher`: method core-tuning learns from labels alone; leave it out"):
        METHODS["core-tuning"](replace(whole, teacher=lambda images: images))
    whole.network.classifier = nn.Sequential(whole.network.classifier)
    with pytest.raises(InputError, match="wants a linear classifier on the mean over a map, which networks of family"):
        METHODS["core-tuning"](whole)


def test_a_method_has_its_own_settings_and_others_none() -> None:
    assert chosen_method(RETRAIN.parse(["x", "--method", "core-tuning"])) == ChosenMethod(
        "core-tuning", CoreTuning(0.1)
    )
    assert chosen_method(RETRAIN.parse(["x"])) == ChosenMethod()
    assert ChosenMethod().described() == {}
