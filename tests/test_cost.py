"""The cost table against a direct count of built networks, by torch's counter and by fvcore."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from search_space import Architecture, Cost, measure
from search_space.cost.cost import Counter
from search_space.cost.priced_space import PricedSpace
from search_space.network import Network
from search_space.space import SearchSpace
from search_space.spaces import priced_space

SPACES = ("mobilenetv2", "mobilenext", "efficientnet_b0")


Covering = Callable[[SearchSpace, int], list[Architecture]]


def _fewer_sizes(name: str) -> PricedSpace:
    """The space at three of its resolutions. The others take as long again; tests/test_space.py counts at all."""
    return PricedSpace(priced_space(name).space.at(128, 224, 288))


def _built(architecture: Architecture, device: str = "meta") -> tuple[torch.nn.Module, torch.Tensor]:
    with torch.device(device):
        network = Network(architecture, 1000).eval()
        return network, torch.empty(1, 3, architecture.resolution, architecture.resolution)


@pytest.mark.parametrize("name", SPACES)
def test_table_equals_direct_count(name: str, covering: Covering) -> None:
    space = _fewer_sizes(name)
    resolutions = set()
    for index, architecture in enumerate(covering(space.space, 9)):
        resolutions.add(architecture.resolution)
        network, x = _built(architecture)
        with torch.no_grad(), Counter() as counter:
            network(x)
        params = sum(parameter.numel() for parameter in network.parameters())
        cost = measure(architecture)
        assert cost == Cost(counter.macs, params)
        assert cost.elementwise == counter.elementwise
        table = space.cost(architecture)
        assert table == cost
        assert table.elementwise == cost.elementwise
        if index % 4 == 0:
            with FlopCounterMode(display=False) as theirs, torch.no_grad():
                network(x)
            assert cost.macs * 2 == theirs.get_total_flops()
    assert resolutions == {128, 224, 288}


@pytest.mark.parametrize("name", SPACES)
def test_fvcore_counts_the_same(name: str, covering: Covering) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore uses what torch has deprecated
        from fvcore.nn import FlopCountAnalysis

        for architecture in covering(priced_space(name).space, 2):
            network, x = _built(architecture, "cpu")
            analysis = FlopCountAnalysis(network, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            by_operator = analysis.by_operator()
            assert by_operator["conv"] + by_operator["linear"] == measure(architecture).macs


def test_counter_of_known_operations() -> None:
    conv = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    x = torch.randn(1, 3, 10, 12)
    with Counter() as counter, torch.no_grad():
        y = conv(x)  # 8·120 outputs of 27 MACs
        y = y.sigmoid()  # writes 960
        y = y * y.mean(3, keepdim=True)  # reads 960, writes 960
        y.transpose(2, 3)  # a view
    assert counter.macs == 8 * 120 * 27
    assert counter.elementwise == 3 * 960


def test_costs_of_a_foreign_architecture_are_counted() -> None:
    space, other = _fewer_sizes("mobilenext"), _fewer_sizes("mobilenetv2")
    foreign = other.smallest
    assert space.cost(foreign) == measure(foreign)
