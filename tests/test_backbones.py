"""The backbones against the published tables, torchvision, and the spaces around them."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.efficientnet import EfficientNet, _efficientnet_conf

from search_space import Architecture, Attention, Network, build, measure
from search_space.backbones import (
    BACKBONES,
    COMPARED_ATTENTIONS,
    HandDesigned,
    efficientnet_b0,
    hand_designed,
    mobilenetv2,
)
from search_space.families.mobile.blocks import Block
from search_space.parts import NO_ATTENTION
from search_space.spaces import SPACES, priced_space

SE = Attention("se", 24)
CA = Attention("ca", 32)

# Parameters and MACs at 224×224 and 1000 classes, in millions as the reference prints them.
GOLDEN = {
    ("mobilenext", NO_ATTENTION): (3.535, 311.3),
    ("mobilenext", CA): (3.972, 316.3),
    ("mobilenext", Attention("ca", 24)): (4.108, 317.8),
    ("mobilenext", SE): (3.914, None),
    ("efficientnet_b0", SE): (5.289, 385.8),
    ("efficientnet_b0", NO_ATTENTION): (4.652, 385.2),
    ("efficientnet_b0", CA): (5.382, 394.0),
}


@pytest.mark.parametrize(("name", "attention"), GOLDEN, ids=lambda value: getattr(value, "label", value))
def test_published_costs(name: str, attention: Attention) -> None:
    params, macs = GOLDEN[name, attention]
    cost = measure(BACKBONES[name](attention=attention))
    assert round(cost.params / 1e6, 3) == params
    assert macs is None or round(cost.macs / 1e6, 1) == macs


@pytest.mark.parametrize("width", [0.5, 0.75, 1.0, 1.4])
def test_parameters_equal_torchvision(width: float) -> None:
    rows, last = _efficientnet_conf("efficientnet_b0", width_mult=width, depth_mult=1.0)
    theirs = {
        mobilenetv2: torchvision.models.mobilenet_v2(width_mult=width),
        efficientnet_b0: EfficientNet(rows, 0.2, last_channel=last),
    }
    for make, network in theirs.items():
        assert measure(make(width)).params == _size(network)


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# 16 blocks of MobileNetV2 (not the first, which does not expand), the 15 of MobileNeXt that begin with a depthwise
# convolution, all 16 of EfficientNet-B0.
@pytest.mark.parametrize(("name", "attended"), [("mobilenetv2", 16), ("mobilenext", 15), ("efficientnet_b0", 16)])
def test_attention_stands_where_the_authors_put_it(name: str, attended: int) -> None:
    architecture = BACKBONES[name](attention=CA)
    network = build(architecture, 10)
    kinds = [type(module).__name__ for module in network.modules()]
    assert kinds.count("CoordinateAttention") == attended
    for block in (block for block in network.modules() if isinstance(block, Block)):
        pieces = [piece for piece, _ in block.named_children()]
        if "attention" in pieces:
            assert pieces[pieces.index("attention") - 1] == "depthwise"


def test_squeeze_of_efficientnet() -> None:
    network = build(efficientnet_b0(), 10)
    first, second = network.stages[0][0], network.stages[1][0]
    assert first.attention.reduce.out_channels == 32 // 4
    assert second.attention.reduce.out_channels == 16 // 4
    assert isinstance(first.attention.activation, nn.SiLU)


@pytest.mark.parametrize("name", [name for name in BACKBONES if BACKBONES[name]().family == "mobile"])
@pytest.mark.parametrize(
    "attention", [None, *COMPARED_ATTENTIONS.values()], ids=lambda own: own.label if own else "own"
)
def test_the_space_around_a_backbone_holds_it(name: str, attention: Attention | None) -> None:
    """The space has its name, or that of the networks of which it is a size."""
    architecture = BACKBONES[name]() if attention is None else BACKBONES[name](attention=attention)
    space = priced_space(max((one for one in SPACES if name.startswith(one)), key=len))
    made = space.space.choices(architecture)
    twin = space.space.assemble(lambda key, options: made[key])
    assert space.space.canonical(architecture) == twin
    assert _layers(twin) == _layers(architecture)
    assert space.cost(twin) == measure(architecture)


def _layers(architecture: Architecture) -> list[str]:
    """The layers one after the other; a stage that is left out has none."""
    with torch.device("meta"):
        network = build(architecture, 10)
    return [str(module) for module in network.modules() if not isinstance(module, nn.Sequential | Block | Network)]


@pytest.mark.parametrize("name", BACKBONES)
def test_names(name: str) -> None:
    make: HandDesigned = BACKBONES[name]
    assert hand_designed(name) == make()
    assert hand_designed(f"{name}-ca") == make(attention=CA)
    assert hand_designed(f"{name}-none") == make(attention=NO_ATTENTION)
    assert hand_designed(f"{name}-cbam") is None
    assert hand_designed(f"{name}x") is None


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("width", [0.35, 1.0, 2.0])
def test_any_width_and_resolution(name: str, width: float) -> None:
    architecture = BACKBONES[name](width, CA, 96)
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert architecture.resolution == 96
    with torch.device("meta"):
        network = build(architecture, 10)
    assert measure(architecture, 10).params == _size(network)
