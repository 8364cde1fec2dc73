"""The attack on gates that go by probes: what it raises, and that it misses nothing that descent finds."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from search_space.architecture import Attention
from search_space.attention.probes import asked, probes
from search_space.network import build
from search_space.spaces import priced_space
from training.attacks import adaptive
from training.attacks.box import Box
from training.attacks.pgd import losses_and_gradient
from training.attacks.registry import NetworkLogits, read_attack


@pytest.fixture(scope="module")
def gated() -> nn.Module:
    torch.manual_seed(4)
    architecture = priced_space("mobilenetv2-32").smallest
    kinds = ("cifs", "cifs_mlp", "probe")
    stages = tuple(
        replace(stage, attention=(Attention(kinds[number % 3]),) * stage.depth)
        for number, stage in enumerate(architecture.stages)
    )
    network = build(replace(architecture, stages=stages), 4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.eval()


def test_the_attack_on_gates_stays_in_the_box_and_misses_nothing_that_descent_finds(gated: nn.Module) -> None:
    images = torch.randn(24, 3, 32, 32).clamp(-1.9, 1.9)
    logits = NetworkLogits(gated, "network")
    with torch.no_grad():
        labels = logits(images).argmax(1)
    box = Box.of((0.5,) * 3, (0.25,) * 3, 0.02)
    wrong = {}
    for name in ("pgd:3", "adaptive:3"):
        attacked = read_attack(name)(logits, images, labels, box, list(range(24)))
        assert torch.equal(attacked, box.inside(attacked, images))
        with torch.no_grad():
            wrong[name] = logits(attacked).argmax(1) != labels
    assert (wrong["adaptive:3"] | ~wrong["pgd:3"]).all()
    assert not any(parameter.grad is not None for parameter in gated.parameters())


def test_it_goes_every_way(gated: nn.Module) -> None:
    """By the network's loss and the probes' at each weight, by the gates' gradients, and by each probe alone."""
    images, labels = torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    losses = [way(labels)(images) for way in adaptive._ways(gated, 32)]
    assert len(losses) == 6 + 2 + len(probes(gated))
    with asked() as logits:
        outputs = gated(images)
    own = nn.functional.cross_entropy(outputs, labels, reduction="none")
    of_probes = [nn.functional.cross_entropy(one, labels, reduction="none") for one in logits]
    torch.testing.assert_close(losses[0], own)
    torch.testing.assert_close(losses[3], own + 2 / len(of_probes) * sum(of_probes))
    for found, expected in zip(losses[8:], of_probes, strict=True):
        torch.testing.assert_close(found, expected)
    gradients = []
    for number in (3, 7):  # at the same weight, without and with the gates' gradients
        way = list(adaptive._ways(gated, 32))[number]
        gradients.append(losses_and_gradient(way(labels), images)[1])
    assert not torch.allclose(gradients[0], gradients[1])
