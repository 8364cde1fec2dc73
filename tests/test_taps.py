"""Heads that read finer maps of a backbone beside its last one."""

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space import backbones
from search_space.architecture import Attention
from search_space.cost.cost import measure, measured_apart
from search_space.cost.latency import key
from search_space.cost.priced_space import PricedSpace
from search_space.cost.space_pieces import space_pieces
from search_space.dilation import dilated
from search_space.head import Head
from search_space.network import build, parts
from search_space.parts import Compound, ConvPart, Part, Piece
from search_space.spaces import named_space
from tests.pooled_family import PooledArchitecture


@dataclass(frozen=True)
class SummedPart(Compound):
    """The mean of the last map's channels, and those of the finer ones."""

    in_channels: int

    @cached_property
    def pieces(self) -> tuple[tuple[str, Piece], ...]:
        return (("conv", ConvPart(self.in_channels, 2)),)

    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        return Summed(OrderedDict((name, make(name, piece)) for name, piece in self.pieces))

    def output_size(self, size: int) -> int:
        return size


class Summed(nn.Sequential):
    def forward(self, x: Tensor, finer: list[Tensor] | None = None) -> dict[str, Tensor]:  # type: ignore[override]
        maps = [*(finer or []), super().forward(x)]
        return {"means": torch.cat([one.mean((2, 3)) for one in maps], 1), "sides": torch.tensor([len(maps)])}


@dataclass(frozen=True)
class TappingHead(Head):
    strides: tuple[int, ...]

    std = 0.5

    @property
    def taps(self) -> Mapping[int, Callable[[int], Part]]:
        return {stride: lambda channels: ConvPart(channels, 1) for stride in self.strides}

    def part(self, channels: int) -> Part:
        return SummedPart(channels)

    @property
    def told(self) -> str:
        return "means"

    def to_dict(self) -> dict[str, Any]:
        return {"head": "means", "strides": list(self.strides)}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        return cls(tuple(data["strides"]))


HEAD, HEAD16 = TappingHead((2, 4)), TappingHead((16,))


def test_it_reads_the_expansion_within_the_block_that_leaves_a_coarser_map() -> None:
    # torchvision's SSDLite takes 576 = 6·96 channels of MobileNetV2 at stride 16, and 6·32 are at stride 8.
    network = backbones.mobilenetv2(attention=Attention("ca", 16))
    named = dict(parts(network, TappingHead((8, 16))))
    assert [name for name in named if name.startswith("taps")] == ["taps.8", "taps.16"]
    assert (named["taps.8"].in_channels, named["taps.16"].in_channels) == (192, 576)


def test_the_map_is_what_the_block_makes_of_it() -> None:
    network = build(backbones.mobilenetv2(), TappingHead((16,))).eval()
    seen: list[Tensor] = []
    network.get_submodule("stages.5.0.expand").register_forward_hook(lambda _m, _x, out: seen.append(out.clone()))
    images = torch.rand(2, 3, 70, 96)
    with torch.no_grad():
        (finer,), last = network.tapped(images)
        assert torch.equal(finer, seen[0])
        torch.testing.assert_close(last, network.last_map(images))
        assert finer.shape[2:] == (5, 6)
        assert network(images)["means"].shape == (2, 3)


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenext"])
def test_cost_is_what_the_network_does(name: str) -> None:
    architecture = replace(getattr(backbones, name)(), resolution=64)
    head = TappingHead((8, 16))
    with FlopCounterMode(display=False) as counter:
        network = build(architecture, head).eval()
        network(torch.zeros(1, 3, 64, 64))
    cost = measure(architecture, head)
    assert 2 * cost.macs == counter.get_total_flops()
    assert cost.params == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("output_stride", [None, 4])
def test_a_space_prices_and_shares_it(output_stride: int | None) -> None:
    space = dilated(named_space("mobile-32"), output_stride)
    head = TappingHead((2, 4) if output_stride is None else (2,))
    priced = PricedSpace(space, head)
    store = WeightStore(space, head, own_kernels=True)
    pieces = space_pieces(space, head)
    rng = random.Random(0)
    for architecture in (priced.smallest, priced.largest, *(priced.sample(rng) for _ in range(20))):
        assert priced.costs.cost(architecture) == measure(architecture, head)
        side = 32 // 2
        tap = dict(parts(architecture, head))["taps.2"]
        assert isinstance(tap, Piece)
        assert key(tap, side) in pieces
    architecture = priced.sample(rng)
    images = torch.rand(2, 3, 32, 32)
    own, extracted = store(architecture, images), store.extract(architecture).train()(images)
    assert torch.equal(own["means"], extracted["means"])  # type: ignore[index]


def test_the_head_draws_its_own_weights() -> None:
    network = build(named_space("mobile-32").widest(own_kernels=False)[0][1], HEAD)
    store = WeightStore(named_space("mobile-32"), HEAD)
    for name, tensor in [*network.named_parameters(), *store.tensors.items()]:
        if tensor.ndim == 4 and name.startswith(("taps", "classifier")):  # the family's rule would give 1 and more
            assert float(tensor.detach().std()) == pytest.approx(0.5, rel=0.3), name


def test_a_family_without_such_maps_says_so() -> None:
    architecture = PooledArchitecture(32, 4, 8, "relu")
    network = build(architecture, 2)
    with pytest.raises(InputError, match="networks of family pooled give a head no map but the last"):
        network.tapped(torch.rand(1, 3, 32, 32))


def test_backbone_and_head_are_counted_apart() -> None:
    architecture = replace(backbones.mobilenetv2(), resolution=64)
    backbone, head = measured_apart(architecture, HEAD16)
    assert backbone + head == measure(architecture, HEAD16)
    # The taps: 1×1 on 576 channels at 4×4 pixels; the rest of the head: 1×1 from 1280 channels to 2 at 2×2.
    assert head.macs == 16 * 576 + 4 * 1280 * 2
