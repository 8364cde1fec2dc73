"""Attacks: against a peer, against what is known of linear networks, and what each keeps to."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from foundation.errors import InputError
from training.attacks.apgd import apgd, checkpoints_of
from training.attacks.box import Box
from training.attacks.epsilon import read_epsilon
from training.attacks.losses import cross_entropy, dlr, excess, right
from training.attacks.pgd import pgd
from training.attacks.registry import APGD, ATTACKS, FGSM, PGD, Square, read_attack
from training.attacks.square import _inside, _side, square

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports a part of SciPy by an old name
    import foolbox

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SIDE = 8
SHAPE = (3, SIDE, SIDE)


def _network(seed: int, classes: int = 4) -> nn.Module:
    """Smooth, so that no gradient is 0, and in double precision, so that no order of a sum matters."""
    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, 6, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 16, classes))
    return nn.Sequential(*layers).double().eval()


def _pictures(seed: int, count: int = 6, *, grey: bool = False) -> tuple[Tensor, Box, Callable[[Tensor], Tensor]]:
    """Normalised pictures, their box of 8/255, and what makes pixels of them."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 1 if grey else 3, SIDE, SIDE, generator=generator).double()
    pixels[0, :, :2], pixels[0, :, 2:4] = 0, 1  # black and white, where the box is narrow
    mean, std = ((0.5,), (0.25,)) if grey else (MEAN, STD)
    middle, spread = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    images = ((pixels - middle) / spread).expand(count, *SHAPE)
    return images, Box.of(mean, std, 8 / 255), lambda images: images * spread + middle


# PGD


@pytest.mark.parametrize("steps", [1, 7])
def test_gradient_descent_is_a_peers_to_the_last_bit(steps: int) -> None:
    """Foolbox, in pixels; epsilon and step are powers of two, so that both round alike."""
    network = _network(0).float()
    images = torch.rand(64, *SHAPE)
    labels = network(images).argmax(1)
    epsilon, step = 1 / 16, 1 if steps == 1 else 0.25
    attack = foolbox.attacks.LinfPGD(rel_stepsize=step, abs_stepsize=None, steps=steps, random_start=False)
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device=torch.device("cpu"))
    _, theirs, success = attack(model, images, labels, epsilons=epsilon)
    box = Box.of((0.0,) * 3, (1.0,) * 3, epsilon)
    ours = pgd(lambda x: cross_entropy(network(x), labels), images, box, steps=steps, step=step)
    assert ours.equal(theirs)
    assert right(network(ours), labels).equal(~success)
    assert not success.all()
    assert success.any()


def test_the_registered_attack_is_a_peers_on_normalised_pictures() -> None:
    network, (images, box, pixels) = _network(1), _pictures(1, 20)
    labels = network(images).argmax(1)
    model = foolbox.PyTorchModel(
        network, bounds=(0, 1), preprocessing={"mean": MEAN, "std": STD, "axis": -3}, device=torch.device("cpu")
    )
    for attack, peer in (
        (PGD(20), foolbox.attacks.LinfPGD(rel_stepsize=0.1, abs_stepsize=None, steps=20, random_start=False)),
        (FGSM(1), foolbox.attacks.LinfFastGradientAttack(random_start=False)),
    ):
        _, theirs, _ = peer(model, pixels(images), labels, epsilons=8 / 255)
        ours = pixels(attack(network, images, labels, box, range(20)))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


# Auto-PGD


def test_checkpoints_are_the_publications() -> None:
    """Shares .22, .41, .57, .70, .80, .87, .93, .99 of the steps: section 3.1."""
    assert checkpoints_of(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints_of(1) == [1]
    assert checkpoints_of(10) == [3, 5, 6, 7, 8, 9, 10]


def _algorithm_1(
    network: nn.Module, image: Tensor, label: Tensor, box: Box, start: Tensor, loss: Any, steps: int
) -> Tensor:
    """The publication's, word by word, of one picture; and it ends where the picture is wrong."""

    def looked(x: Tensor) -> tuple[float, Tensor, bool]:
        x = x.detach().requires_grad_()
        logits = network(x)
        value = loss(logits, label).sum()
        (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), gradient, bool((logits.argmax(1) == label).all())

    def clipped(x: Tensor) -> Tensor:
        x = torch.minimum(torch.maximum(x, image - box.epsilon), image + box.epsilon)
        return torch.minimum(torch.maximum(x, box.lower), box.upper)

    w, eta = checkpoints_of(steps), 2.0
    x = [clipped(image + box.epsilon * start)]
    f, g, known = looked(x[0])
    values, x_max, f_max, g_max = [f], x[0], f, g
    rises, last, reduced, f_then = 0, 0, True, f
    for k in range(1, steps + 1):
        if not known:
            return x[-1]
        z = clipped(x[-1] + eta * box.epsilon * g.sign())
        if k == 1:
            x.append(z)
        else:
            x.append(clipped(x[-1] + 0.75 * (z - x[-1]) + 0.25 * (x[-1] - x[-2])))
        f, g, known = looked(x[-1])
        rises += f > values[-1]
        values.append(f)
        if f > f_max:
            x_max, f_max, g_max = x[-1], f, g
        if not known:
            return x[-1]
        if k in w:
            first, second = rises < 0.75 * (k - last), not reduced and f_max == f_then
            rises, last, f_then, reduced = 0, k, f_max, first or second
            if reduced:
                eta, x[-1], g, values[-1] = eta / 2, x_max, g_max, f_max
    return x_max


@pytest.mark.parametrize("loss", [cross_entropy, dlr])
@pytest.mark.parametrize("seed", range(4))
def test_many_pictures_at_once_are_as_one_by_one(loss: Any, seed: int) -> None:
    network, (images, box, _) = _network(seed), _pictures(seed, 8)
    labels = network(images).argmax(1)
    labels[1] = (labels[1] + 1) % 4  # wrong from the start
    start = torch.rand(images.shape, dtype=torch.float64) * 2 - 1
    found = apgd(network, images, labels, box, loss=loss, steps=40, start=start)
    for number in range(8):
        row = slice(number, number + 1)
        one = _algorithm_1(network, images[row], labels[row], box, start[row], loss, 40)
        torch.testing.assert_close(found[row], one, rtol=0, atol=1e-12)
    known = right(network(found), labels)
    assert known.any()
    before = loss(network(box.inside(images + box.epsilon * start, images)), labels)
    assert (loss(network(found), labels) >= before)[known].all()


class _Script(nn.Module):
    """Says what is written down for each time that it is asked, with a gradient that was drawn for it."""

    def __init__(self, leads: list[float]):
        super().__init__()
        self.leads = iter(leads)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        slope = torch.randn(SHAPE, generator=self.generator) * 1e-12
        lead = next(self.leads) + (slope * x).sum((1, 2, 3))
        return torch.stack([lead, torch.zeros_like(lead)], 1)


def test_a_step_is_halved_where_the_best_stays_the_best() -> None:
    """Though most steps raise the loss: after the first checkpoint it falls, and does not come back by the second."""
    leads = [
        5.0,
        *(4 - k / 100 for k in range(22)),
        *(4.5 - k / 100 for k in range(19)),
        *(3 - k / 100 for k in range(59)),
    ]
    images, box, _ = _pictures(0, 1)
    label, start = torch.tensor([0]), torch.zeros_like(images)
    found = apgd(_Script(leads), images, label, box, loss=cross_entropy, steps=100, start=start)
    peer = _algorithm_1(_Script(leads), images, label, box, start, cross_entropy, 100)
    torch.testing.assert_close(found, peer, rtol=0, atol=1e-12)


def test_pictures_that_are_wrong_are_not_looked_at_again() -> None:
    network, (images, box, _) = _network(0), _pictures(0, 40)
    labels = network(images).argmax(1)
    asked: list[int] = []

    def counted(points: Tensor) -> Tensor:
        asked.append(len(points))
        return network(points)

    APGD(20)(counted, images, labels, box, range(40))
    first, second = asked[:21], asked[22:]  # on cross-entropy; then, after a look at what is left, on the other loss
    assert first == sorted(first, reverse=True)
    assert first[-1] < asked[0] == 40
    assert asked[21] == 40
    assert max(second) <= first[-1]


def test_the_difference_of_logits_ratio() -> None:
    logits = torch.tensor([[5.0, 1.0, 3.0, 0.0], [5.0, 1.0, 3.0, 0.0]])
    labels = torch.tensor([0, 1])
    assert excess(logits, labels).tolist() == [-2, 4]
    assert dlr(logits, labels).tolist() == pytest.approx([-2 / 4, 4 / 4])
    assert dlr(1000 * logits + 7, labels).tolist() == pytest.approx([-2 / 4, 4 / 4])
    assert right(logits, labels).tolist() == [True, False]


def test_two_classes_are_attacked_by_cross_entropy_alone() -> None:
    network, (images, box, _) = _network(3, classes=2), _pictures(3)
    labels = network(images).argmax(1)
    attacked = APGD(10)(network, images, labels, box, range(6))
    assert (excess(network(attacked), labels) > excess(network(images), labels)).all()


# Square


def test_squares_shrink_by_the_publications_schedule() -> None:
    """At N = 10,000 halved at 10, 50, 200, …; of other numbers of queries at the same shares of them."""
    sides = [_side(done / 10_000, 32, 32) for done in (1, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    assert sides == [29, 20, 14, 10, 7, 5, 4, 3, 2, 1]
    assert _side(0.5, 32, 32) == 3
    assert _side(0.0, 8, 200) == 8


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_square_is_whole_and_reaches_the_corners(height: int, width: int, data: st.DataObject) -> None:
    side = data.draw(st.integers(1, min(height, width)))
    drawn = data.draw(st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True, width=32)] * 2), max_size=3))
    places = torch.tensor([(0.0, 0.0), (0.9999, 0.9999), *drawn])
    inside = _inside(places, side, height, width)
    assert inside.shape == (len(places), 1, height, width)
    assert (inside.sum((1, 2, 3)) == side**2).all()
    assert inside[0, 0, :side, :side].all()
    assert inside[1, 0, height - side :, width - side :].all()


def test_changes_are_as_large_as_they_may_be() -> None:
    network, (images, box, _) = _network(0), _pictures(0)
    attacked = Square(30)(network, images, network(images).argmax(1), box, range(6))
    ends = [images - box.epsilon, images + box.epsilon, box.lower.expand_as(images), box.upper.expand_as(images)]
    assert torch.stack([(attacked - end).abs() for end in ends]).amin(0).max() < 1e-6
    assert (attacked != images).float().mean() > 0.9


def test_the_network_is_asked_no_more_often_than_said() -> None:
    network, (images, box, _) = _network(0), _pictures(0, 40)
    labels = network(images).argmax(1)
    asked: list[int] = []

    def counted(points: Tensor) -> Tensor:
        asked.append(len(points))
        assert not torch.is_grad_enabled()
        return network(points)

    square(counted, images, labels, box, queries=300, seeds=range(40))
    assert len(asked) == 300
    assert asked == sorted(asked, reverse=True)
    assert 0 < asked[-1] < asked[0] == 40
    asked.clear()
    square(counted, images, (labels + 1) % 4, box, queries=300, seeds=range(40))
    assert asked[0] == 40
    assert len(asked) < 300  # what is wrong at once is left alone


# What holds for all


class _Linear(nn.Module):
    def __init__(self, seed: int, classes: int, scale: float):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = scale * torch.randn(classes, *SHAPE, generator=generator).double()

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None] * self.weight).sum((2, 3, 4))


def _most(network: _Linear, images: Tensor, labels: Tensor, box: Box) -> Tensor:
    """The largest excess that any change within the box can reach: each value goes to the end of its range."""
    low, high = torch.maximum(images - box.epsilon, box.lower), torch.minimum(images + box.epsilon, box.upper)
    slopes = network.weight[None] - network.weight[labels][:, None]
    reached = torch.where(slopes > 0, slopes * high[:, None], slopes * low[:, None]).sum((2, 3, 4))
    return reached.scatter(1, labels[:, None], -torch.inf).amax(1)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["pgd", "fgsm", "apgd:15"]))
def test_of_a_linear_network_of_two_classes_the_worst_is_found(seed: int, name: str) -> None:
    images, box, _ = _pictures(seed)
    network = _Linear(seed, 2, 0.05)
    labels = network(images).argmax(1)
    attacked = read_attack(name)(network, images, labels, box, range(6))
    most = _most(network, images, labels, box)
    assert right(network(attacked), labels).equal(most < 0)
    if name != "apgd:15":  # which stops where a picture is wrong
        torch.testing.assert_close(excess(network(attacked), labels), most, rtol=0, atol=1e-5)


def test_square_comes_near_to_the_worst_of_a_linear_network() -> None:
    images, box, _ = _pictures(5)
    network = _Linear(5, 3, 0.002)
    labels = network(images).argmax(1)
    before, most = excess(network(images), labels), _most(network, images, labels, box)
    held = 9 * nn.functional.one_hot(labels, 3)  # each picture stays right, so that the attack goes on to the end
    attacked = square(lambda x: network(x) + held, images, labels, box, queries=2000, seeds=range(6))
    gain = (excess(network(attacked), labels) - before) / (most - before)
    assert gain.min() > 0.8
    assert gain.max() <= 1 + 1e-6


ALL = ("pgd:5", "fgsm", "apgd:6", "square:40")


def test_all_are_tried_here() -> None:
    assert tuple(ATTACKS) == (*(name.partition(":")[0] for name in ALL), "adaptive")  # which has tests of its own


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(ALL), st.booleans())
def test_attacked_pictures_are_pictures_near_the_given_ones(seed: int, name: str, grey: bool) -> None:
    network, (images, box, pixels) = _network(seed), _pictures(seed, grey=grey)
    labels = network(images).argmax(1)
    given, state = images.clone(), torch.get_rng_state()
    attacked = read_attack(name)(network, images, labels, box, range(6))
    assert images.equal(given)
    assert torch.get_rng_state().equal(state)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert (pixels(attacked) - pixels(images)).abs().max() <= 8 / 255 + 1e-6
    assert pixels(attacked).min() >= -1e-6
    assert pixels(attacked).max() <= 1 + 1e-6
    if grey:
        torch.testing.assert_close(attacked, attacked[:, :1].expand_as(attacked), rtol=0, atol=1e-12)
    assert attacked.equal(read_attack(name)(network, images, labels, box, range(6)))


@pytest.mark.parametrize("name", ALL)
def test_a_picture_is_attacked_alike_in_any_batch(name: str) -> None:
    network, (images, box, _) = _network(2), _pictures(2, 9)
    labels, seeds = network(images).argmax(1), range(100, 109)
    whole = read_attack(name)(network, images, labels, box, seeds)
    parts: Sequence[list[int]] = ([4], [8, 0, 3])
    for part in parts:
        found = read_attack(name)(network, images[part], labels[part], box, [seeds[number] for number in part])
        torch.testing.assert_close(found, whole[part], rtol=0, atol=1e-9)
    other = read_attack(name)(network, images, labels, box, range(9))
    assert other.equal(whole) == (name in ("pgd:5", "fgsm"))


def test_names_and_numbers() -> None:
    assert read_attack("pgd") == PGD(20)
    assert read_attack("pgd:100") == PGD(100)
    assert read_attack("apgd") == APGD(100)
    assert read_attack("square") == Square(1000)
    assert read_attack("fgsm") == FGSM(1)
    assert [ATTACKS[name].gradients for name in ATTACKS] == [True, True, True, False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dgp", "`attack` dgp: unknown; known: pgd, fgsm, apgd, square, adaptive"),
        ("", "`attack` : unknown; known: pgd, fgsm, apgd, square, adaptive"),
        ("pgd:", "`attack` pgd:: expected steps from 1 to 1000000 after the colon, got nothing"),
        ("pgd:0", "`attack` pgd:0: expected steps from 1 to 1000000 after the colon, got 0"),
        ("square:1e3", "`attack` square:1e3: expected queries from 1 to 1000000 after the colon, got 1e3"),
        ("fgsm:3", "`attack` fgsm:3: has no number of steps; give fgsm"),
    ],
)
def test_an_attack_that_is_none(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_attack(text)
    assert str(refused.value) == message


def test_epsilon() -> None:
    assert read_epsilon("8/255") == 8 / 255
    assert read_epsilon("0.03") == 0.03
    assert read_epsilon("1e-3") == 0.001
    for text in ("0", "1", "-1/255", "8/0", "255", "eight", "", "nan", "1e999999999", "1/2/3", "."):
        with pytest.raises(InputError, match=r"^`adversarial`: expected a number above 0 and below 1, such as 8/255, "):
            read_epsilon(text, "`adversarial`")
