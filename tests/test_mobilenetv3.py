"""MobileNetV3 against torchvision's networks, and the space around it."""

import dataclasses
import random
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from foundation.errors import InputError
from search_space import Architecture, Attention, build, measure
from search_space.attention.further import HardSqueezeExcitation
from search_space.backbones import efficientnet_b0, mobilenetv2, mobilenetv3_large, mobilenetv3_small, mobilenext
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.mobilenetv3 import expansion_to
from search_space.head import ClassifierHead
from search_space.network import Network, parts
from search_space.parts import NO_ATTENTION
from search_space.pretrained import published, transfer
from search_space.rounding import divisible
from search_space.spaces import priced_space
from tasks.segmentation.deeplabv3 import DeepLabV3Head

NETWORKS: dict[str, tuple[Callable[..., MobileArchitecture], Callable[..., nn.Module]]] = {
    "large": (mobilenetv3_large, torchvision.models.mobilenet_v3_large),
    "small": (mobilenetv3_small, torchvision.models.mobilenet_v3_small),
}
CA = Attention("ca", 32)


def _theirs(size: str, width: float = 1.0) -> nn.Module:
    """torchvision's network, in which nothing is as an untrained one has it."""
    network = NETWORKS[size][1](width_mult=width)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


# Parameters are those that torchvision documents; MACs at 224×224 and 1000 classes.
@pytest.mark.parametrize(("size", "params", "macs"), [("large", 5_483_032, 216.6), ("small", 2_542_856, 56.5)])
def test_published_costs(size: str, params: int, macs: float) -> None:
    cost = measure(NETWORKS[size][0]())
    assert cost.params == params
    assert round(cost.macs / 1e6, 1) == macs


@pytest.mark.parametrize("size", NETWORKS)
@pytest.mark.parametrize("width", [0.5, 0.75, 1.0, 1.25])
def test_costs_equal_torchvision(size: str, width: float) -> None:
    ours, theirs = NETWORKS[size]
    with torch.device("meta"):
        network = theirs(width_mult=width).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 224, 224))
    cost = measure(ours(width))
    assert cost.params == sum(parameter.numel() for parameter in network.parameters())
    assert cost.macs * 2 == counter.get_total_flops()


@pytest.mark.parametrize("size", NETWORKS)
@pytest.mark.parametrize("width", [0.75, 1.0])
def test_logits_equal_torchvision(size: str, width: float) -> None:
    theirs = _theirs(size, width)
    ours = build(NETWORKS[size][0](width)).eval()
    own = ours.state_dict()
    copied = zip(own.items(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict({name: tensor.view(mine.shape) for (name, mine), tensor in copied})
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("size", NETWORKS)
def test_published_weights_give_the_published_logits(size: str) -> None:
    theirs = _theirs(size)
    ours = published(NETWORKS[size][0](), theirs.state_dict()).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_weights_carry_over_to_a_network_with_coordinate_attention() -> None:
    source = published(mobilenetv3_small(), _theirs("small").state_dict())
    report = transfer(source, build(mobilenetv3_small(attention=CA)))
    assert report.notes["stages.0.0.attention"] == "another kind in the source; starts constant"
    assert not report.preserved
    bare = build(mobilenetv3_small(attention=NO_ATTENTION))
    assert transfer(source, bare).notes["stages.0.0.attention"] == "dropped"
    assert torch.equal(bare.pooled.conv.weight, source.pooled.conv.weight)


@pytest.mark.parametrize("size", NETWORKS)
def test_weights_carry_over_to_a_network_of_the_space(size: str) -> None:
    """Small has fewer stages than a network of the space: they stand for those of the nearest widths."""
    space = priced_space("mobilenetv3").space
    own = space.canonical(NETWORKS[size][0]())
    theirs = _theirs(size)
    network = build(own)
    report = transfer(published(NETWORKS[size][0](), theirs.state_dict()), network)
    assert report.preserved
    assert report.copied == report.total
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(network.eval()(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_the_nearer_network_is_the_source() -> None:
    small, large = mobilenetv3_small(), mobilenetv3_large()
    assert _source(small) == _source(mobilenetv3_small(1.25, CA)) == small
    assert _source(large) == _source(mobilenetv3_large(0.75)) == large


def _source(architecture: Architecture) -> Architecture:
    from search_space.pretrained import check_published

    return check_published(architecture)


def test_its_squeeze_and_excitation_equals_torchvision() -> None:
    for channels, reduction in ((72, 4), (16, 4), (960, 4), (120, 16)):
        ours = HardSqueezeExcitation(channels, reduction)
        theirs = torchvision.ops.SqueezeExcitation(
            channels, divisible(channels // reduction), scale_activation=nn.Hardsigmoid
        )
        theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
        x = torch.randn(2, channels, 5, 7) * 4
        torch.testing.assert_close(ours(x), theirs(x))


def test_activations_stand_where_the_paper_has_them() -> None:
    network = build(mobilenetv3_large(), 10)
    assert isinstance(network.stem.activation, nn.Hardswish)
    inner = network.blocks()[1:-1]  # the first does not expand, the last is a convolution
    found = [[type(piece.activation).__name__ for piece in (block.expand, block.depthwise)] for block in inner]
    assert found == [["ReLU"] * 2] * 5 + [["Hardswish"] * 2] * 9
    assert mobilenetv3_large().everywhere == "hardswish, relu in stages 1 to 5"


def test_a_stage_says_an_activation_only_where_it_is_another() -> None:
    architecture = mobilenetv3_small()
    told = architecture.to_dict()
    assert ["activation" in stage for stage in told["stages"]] == [True] * 3 + [False] * 7
    assert not any("start_kernel_size" in stage for stage in told["stages"])
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert "pooled_norm" not in told
    with pytest.raises(InputError, match=r"stages\[0\].activation: hardswish is the network's own; leave it out"):
        dataclasses.replace(architecture, stages=(dataclasses.replace(architecture.stages[0], activation="hardswish"),))


def test_digests_stay() -> None:
    assert [make().digest()[:8] for make in (mobilenetv2, efficientnet_b0, mobilenext)] == [
        "b2834e33",
        "2d32acdc",
        "1e73c4dd",
    ]


@pytest.mark.parametrize(
    ("channels", "hidden"), [(80, 200), (80, 184), (24, 88), (16, 72), (24, 56), (64, 152), (88, 504)]
)
def test_ratios_give_the_published_channels(channels: int, hidden: int) -> None:
    ratio = expansion_to(channels, hidden)
    assert divisible(channels * ratio) == hidden
    assert round(ratio, 2) == ratio


@pytest.mark.parametrize("expansion", [2.0, 0.5, 16.5, 2.125, float("nan"), float("inf"), True, "2.5"])
def test_other_ratios_are_refused(expansion: object) -> None:
    stage = mobilenetv2().stages[1]
    with pytest.raises(InputError, match="expansion: expected an integer from 1 to 16"):
        dataclasses.replace(stage, expansion=expansion)


def test_the_layer_after_the_mean_is_a_classifiers_alone() -> None:
    architecture = mobilenetv3_large()
    names = [name for name, _ in parts(architecture, ClassifierHead(10))]
    assert names[-2:] == ["pooled", "classifier"]
    assert "pooled" not in [name for name, _ in parts(architecture, DeepLabV3Head(21))]
    network: Network = build(architecture, 10).eval()
    with torch.no_grad():
        assert network.last_map(torch.randn(1, 3, 64, 64)).shape == (1, 1280, 1, 1)
        assert network.features(torch.randn(1, 3, 64, 64))[-1].shape == (1, 960, 2, 2)


def test_networks_of_the_space_are_no_twins() -> None:
    """Drawn networks that are the same blocks, one after the other, would be one network."""
    space = priced_space("mobilenetv3").space
    rng = random.Random(0)
    seen: dict[tuple[object, ...], Architecture] = {}
    for _ in range(2000):
        # Few widths and no attention, so that equal networks would meet.
        architecture = space.assemble(lambda name, options: "none" if "none" in options else rng.choice(options[:2]))
        layers = [(part.skips, *(piece for _, piece in part.pieces)) for _, part in parts(architecture, 10)]
        assert seen.setdefault((architecture.resolution, *layers), architecture) == architecture
