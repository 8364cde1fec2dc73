"""What an adaptation minimises, against numbers by hand; and that it moves all but the hypothesis."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foundation.errors import InputError
from search_space import Architecture, Attention, Stage, build
from search_space.network import Network
from training.adaptation.hypothesis import Seen, WithFeatures, hypothesis, look, statistics_kept
from training.adaptation.information import entropies, equal_classes, information_loss
from training.adaptation.labelling_transfer import Labelled, MixMatch, labelled, sharpened
from training.adaptation.pseudo_labels import pseudo_labels
from training.adaptation.rotation import drawn_turns, rotated
from training.adaptation.settings import Adaptation
from training.adaptation.shot import Shot
from training.data.held import HeldSplit
from training.data.pictures import Pictures
from training.optimisers import rate
from training.recipe import Recipe

ROUNDED = 2e-4  # by the 1e-5 in the logarithms
CLASSES = 4


def _network() -> Network:
    stages = (Stage("inverted_residual", 8, 2, 1, 3, (Attention("none"),)),)
    network = build(Architecture(16, 8, 2, stages, 12, "relu6"), CLASSES)
    torch.nn.init.normal_(hypothesis(network).weight)  # drawn by 0.01 it is sure of nothing
    return network


def _pictures(count: int = 24) -> HeldSplit:
    images = torch.randint(256, (count, 1, 16, 16), dtype=torch.uint8)
    return HeldSplit(Pictures(images, torch.arange(count)), (0.5,), (0.3,), torch.device("cpu"))


def _seen(features: Tensor, logits: Tensor) -> Seen:
    return Seen(features.double(), logits.double().softmax(1))


def test_information_is_0_if_all_predictions_agree() -> None:
    for row in (torch.zeros(10), torch.randn(10), torch.eye(10)[3] * 100):
        assert information_loss(row.expand(7, 10)).item() == pytest.approx(0, abs=1e-6)


def test_information_is_all_there_is_if_predictions_are_sure_and_balanced() -> None:
    sure = torch.eye(10).repeat(3, 1) * 1000
    assert information_loss(sure).item() == pytest.approx(-2.302585, abs=ROUNDED)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 9), st.integers(0, 999))
def test_information_is_the_mutual_information_of_picture_and_class(pictures: int, classes: int, seed: int) -> None:
    logits = torch.randn(pictures, classes, generator=torch.Generator().manual_seed(seed)).double() * 3
    joint = logits.softmax(1) / pictures
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    mutual = (joint * (joint / independent).log()).sum().item()
    loss = information_loss(logits).item()
    assert loss == pytest.approx(-mutual, abs=1e-3)
    assert -math.log(classes) - ROUNDED <= loss <= 1e-6


def test_without_the_diversity_term_predicting_one_class_is_best() -> None:
    constant, balanced = torch.eye(4)[[0, 0, 0, 0]] * 1000, torch.eye(4) * 1000
    least = -1e-5  # of the logarithms' constant
    assert information_loss(constant, diversity=0).item() == pytest.approx(least, abs=1e-6)
    assert information_loss(balanced, diversity=0).item() == pytest.approx(least, abs=1e-6)
    assert information_loss(balanced).item() < information_loss(constant).item() - 1.3
    logits = torch.randn(64, 4)
    for diversity, largest in ((0.0, 1.0), (1.0, 0.5)):
        biased = torch.tensor([1.0, 0, 0, 0], requires_grad=True)  # a bias alone moves, towards class 0 at first
        optimiser = torch.optim.SGD([biased], 2.0)
        for _ in range(200):
            optimiser.zero_grad()
            information_loss(logits + biased, diversity).backward()
            optimiser.step()
        share = (logits + biased).detach().argmax(1).bincount(minlength=4).max().item() / 64
        assert share == 1 if largest == 1 else share < largest


def test_entropies() -> None:
    assert entropies(torch.full((1, 10), 0.1)).item() == pytest.approx(math.log(10), abs=ROUNDED)
    assert entropies(torch.eye(10)).abs().max().item() == pytest.approx(0, abs=2e-5)


def test_equal_classes() -> None:
    assert equal_classes(torch.full((10,), 0.1), 10**6) == pytest.approx(10, rel=1e-3)
    assert equal_classes(torch.tensor([1.0] + [0.0] * 9), 10**6) == pytest.approx(1, rel=1e-3)
    few = torch.tensor([2, 1, 0, 1]) / 4  # nothing is known of four pictures
    assert equal_classes(few, 4) == 4


def test_pseudo_labels_by_hand() -> None:
    """Two groups; the third picture lies in the second group, and is predicted as of the first."""
    features = torch.tensor([[9.0, 0], [8, 1], [1, 8], [0, 9], [1, 9]])
    logits = torch.tensor([[5.0, 0, 0], [5, 0, 0], [0.6, 0.5, 0], [0, 5, 0], [0, 5, 0]])
    assert _seen(features, logits).probabilities.argmax(1).tolist() == [0, 0, 0, 1, 1]
    assert pseudo_labels(_seen(features, logits)).tolist() == [0, 0, 1, 1, 1]


def test_a_class_that_nobody_is_predicted_as_is_nobodys_pseudo_label() -> None:
    """Nor does a probability of exactly 0 everywhere, whose centroid is 0, give NaN or win."""
    features = torch.randn(40, 6).relu()
    logits = torch.randn(40, 5)
    logits[:, 3] = -1000.0
    assert _seen(features, logits).probabilities[:, 3].sum() == 0
    labels = pseudo_labels(_seen(features, logits))
    assert 3 not in labels.tolist()
    assert len(labels.unique()) > 1


def test_an_empty_second_centroid_is_nearest_to_nobody() -> None:
    """Class 1 loses its picture to another centroid; its own would be 0 then, and nearer than what lies behind."""
    features = torch.tensor([[1.0, -4], [-1, -5], [-4, 5], [5, 0]])
    logits = torch.tensor([[0.0, -1, 1], [-1, 2, 2], [-1, 1, 1], [2, 2, -1]])
    assert pseudo_labels(_seen(features, logits)).tolist() == [2, 2, 2, 0]


def test_pseudo_labels_above_a_count() -> None:
    seen = _seen(torch.eye(2).repeat(6, 1)[:7], torch.eye(2).repeat(6, 1)[:7] * 9)
    assert set(pseudo_labels(seen, above=3).tolist()) == {0}
    with pytest.raises(InputError, match="`centroid_above` 4: the most pictures predicted as one class are 4"):
        pseudo_labels(seen, above=4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_pseudo_labels_do_not_depend_on_the_order(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features, logits = torch.randn(30, 5, generator=generator), torch.randn(30, 4, generator=generator)
    order = torch.randperm(30, generator=generator)
    assert torch.equal(
        pseudo_labels(_seen(features, logits))[order], pseudo_labels(_seen(features[order], logits[order]))
    )


def test_pseudo_labels_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    network, pictures = WithFeatures(_network()), _pictures()
    found = []
    for batch in (3, 7, 256):
        monkeypatch.setattr("training.adaptation.hypothesis.BATCH", batch)
        found.append(pseudo_labels(look(network, pictures, 16, "float32")))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_four_turns_are_none() -> None:
    images = torch.randn(8, 3, 6, 6)
    one = torch.ones(8, dtype=torch.int64)
    turned = images
    for _ in range(4):
        turned = rotated(turned, one)
    assert torch.equal(turned, images)
    turns = drawn_turns(images)
    for image, turn, result in zip(images, turns.tolist(), rotated(images, turns), strict=True):
        assert torch.equal(result, image.rot90(turn, (1, 2)))


def test_the_learning_rate_falls_as_published() -> None:
    recipe = Recipe(schedule="power", warmup=0.0)
    assert [round(rate(done, 100, recipe), 5) for done in (0, 25, 50, 100)] == [1, 0.39079, 0.26085, 0.16556]


def test_the_least_loss_of_smoothed_labels() -> None:
    """Of a source network: 0.91 and 0.01 at ten classes."""
    target = torch.full((10,), 0.01).index_fill(0, torch.tensor([2]), 0.91)
    smoothed = torch.nn.functional.cross_entropy(target.log()[None], torch.tensor([2]), label_smoothing=0.1)
    assert smoothed.item() == pytest.approx(0.500288, abs=1e-6)


def _shot(losses: Adaptation, recipe: Recipe) -> Shot:
    network = WithFeatures(_network())
    turns = torch.nn.Linear(24, 4) if losses.rotation else None
    return Shot(network, turns, _pictures(), 16, losses, recipe)


def test_all_but_the_hypothesis_has_gradients_and_moves() -> None:
    recipe = Recipe(learning_rate=0.1)
    shot = _shot(Adaptation(), recipe)
    before = {name: tensor.clone() for name, tensor in shot.model.state_dict().items()}
    optimiser = torch.optim.SGD(shot.groups(recipe), 0.1)
    shot.model.train()
    shot.begin_epoch(0)
    assert shot.model.training
    images, numbers = next(shot.pictures.batches(24))
    assert math.isfinite(shot(images, numbers, 0))
    optimiser.step()
    for name, parameter in shot.model.named_parameters():
        assert (parameter.grad is None) == (".classifier." in name), name
    for name in ("network.network.stem.conv.weight", "network.network.stem.norm.running_mean", "turns.weight"):
        assert not torch.equal(shot.model.state_dict()[name], before[name])
    for name in ("network.network.classifier.weight", "network.network.classifier.bias"):
        assert torch.equal(shot.model.state_dict()[name], before[name])
    assert all(parameter.requires_grad for parameter in shot.model.parameters())


def test_groups_hold_each_parameter_but_the_hypothesis_once() -> None:
    recipe = Recipe(learning_rate=0.01, weight_decay=1e-3)
    shot = _shot(Adaptation(backbone_rate=0.1), recipe)
    groups = shot.groups(recipe)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    kept = {id(parameter) for parameter in hypothesis(shot.network.network).parameters()}
    assert sorted(held) == sorted({id(parameter) for parameter in shot.model.parameters()} - kept)
    assert [group.get("lr") for group in groups] == [pytest.approx(0.001), pytest.approx(0.001), None]


def test_rotated_pictures_leave_no_statistics() -> None:
    network = _network().train()
    before = {name: tensor.clone() for name, tensor in network.named_buffers() if "running" in name}
    with statistics_kept(network):
        network(torch.randn(4, 3, 16, 16))
    assert all(torch.equal(dict(network.named_buffers())[name], tensor) for name, tensor in before.items())
    network(torch.randn(4, 3, 16, 16))
    assert not all(torch.equal(dict(network.named_buffers())[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("field", ["pseudo_labels", "rotation", "diversity", "backbone_rate"])
def test_a_weight_out_of_its_range(field: str) -> None:
    with pytest.raises(InputError, match=field):
        Adaptation(**{field: -1.0})


def test_the_surest_of_each_class_are_labelled_by_hand() -> None:
    """Of eight pictures four are surer than the mean, so a half of each class: of class 2 none of its one."""
    sure, unsure = torch.tensor([20.0, 0, 0]), torch.tensor([1.0, 0.9, 0.8])
    logits = torch.stack([unsure, sure, sure, unsure, sure.roll(1), unsure.roll(1), sure.roll(1), unsure.roll(2)])
    found = labelled(logits.double().softmax(1))
    assert found.numbers.tolist() == [1, 2, 4]
    assert found.labels.tolist() == [0, 0, 1]
    assert found.others.tolist() == [0, 3, 5, 6, 7]


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(2, 9), st.integers(0, 999))
def test_a_share_of_each_class_is_labelled(pictures: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = (torch.randn(pictures, classes, generator=generator).double() * 3).softmax(1)
    uncertain = entropies(probabilities)
    share = (uncertain < uncertain.mean()).double().mean().item()
    counts = probabilities.argmax(1).bincount(minlength=classes)
    expected = [math.floor(count * share + 1e-9) for count in counts.tolist()]
    if not any(expected):
        return
    found = labelled(probabilities)
    assert found.labels.bincount(minlength=classes).tolist() == expected
    assert sorted([*found.numbers.tolist(), *found.others.tolist()]) == list(range(pictures))
    for number in range(classes):
        mine = found.numbers[found.labels == number]
        left = found.others[probabilities[found.others].argmax(1) == number]
        if len(mine) and len(left):
            assert uncertain[mine].max() <= uncertain[left].min()


def test_equally_sure_predictions_label_nothing() -> None:
    """The same numbers in another order have other sums, in their last digits."""
    row = torch.tensor([0.3, 1.7, 0.1, 0.9, 0.4]).double().softmax(0)
    with pytest.raises(InputError, match="equally sure of all 5 pictures, so none is labelled"):
        labelled(torch.stack([row.roll(shift) for shift in range(5)]))
    with pytest.raises(InputError, match="2 pictures are too few for a labelled one of any class"):
        labelled(torch.tensor([[0.9, 0.1], [0.4, 0.6]]).double())


def test_sharpening() -> None:
    assert sharpened(torch.tensor([[0.8, 0.2]]), 0.5)[0].tolist() == pytest.approx([16 / 17, 1 / 17])
    assert sharpened(torch.tensor([[0.8, 0.2]]), 1.0)[0].tolist() == pytest.approx([0.8, 0.2])
    assert sharpened(torch.full((1, 200), 0.005), 0.05)[0].tolist() == pytest.approx([0.005] * 200)


def _mixmatch(**losses: float) -> MixMatch:
    pictures = _pictures(30)
    known = Labelled(torch.arange(10), torch.arange(10) % CLASSES, torch.arange(10, 30))
    recipe = Recipe(epochs=3, batch_size=10, learning_rate=0.01, rand_augment=5)
    return MixMatch(_network(), pictures, known, 16, Adaptation(**losses), recipe)  # type: ignore[arg-type]


def test_two_views_differ_and_keep_their_order() -> None:
    method = _mixmatch()
    numbers = torch.tensor([4, 4, 9, 2])
    one, other = method._view(numbers), method._view(numbers)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])  # the same picture twice
    method.recipe = replace(method.recipe, rand_augment=0)
    plain = torch.cat([images for images, _ in method.pictures.batches(30)])
    assert torch.equal(method._view(numbers), plain[numbers])


def test_the_mixed_ones_keep_the_larger_share() -> None:
    method = _mixmatch(mixup=100.0)  # shares near a half
    images, shares = torch.randn(6, 3, 4, 4), torch.eye(6)
    mixed, labels = method._mixed(images, shares)
    assert (labels.diagonal() >= 0.5).all()
    torch.testing.assert_close(mixed, torch.einsum("nm,mchw->nchw", labels, images))


def test_the_guesses_weight_grows_from_0() -> None:
    """The first step learns from labels alone, whatever the weight; a later one does not."""
    losses = []
    for weight in (0.0, 50.0):
        for number in (0, 3):
            torch.manual_seed(1)
            method = _mixmatch(unlabelled=weight)
            assert method.steps == 6
            images, numbers = next(method.pictures.subset(method.known.others).batches(10))
            method.model.train()
            losses.append(method(images, numbers, number))
    assert losses[0] == losses[2] == losses[1]
    assert losses[3] > losses[1]


def test_mixmatch_trains_the_hypothesis_faster_than_the_backbone() -> None:
    method = _mixmatch()
    groups = method.groups(method.recipe)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(map(id, method.model.parameters()))
    head = {id(parameter) for parameter in method.network.classifier.parameters()}
    for group in groups:
        of_head = {id(parameter) in head for parameter in group["params"]}
        assert of_head == {group["lr"] == 0.01}
