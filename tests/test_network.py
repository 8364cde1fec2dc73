"""Networks and their costs against torchvision and the published tables."""

import dataclasses

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from foundation.amounts import about, human
from search_space import Attention, InputError, build, measure
from search_space.backbones import hand_designed, mobilenetv2
from search_space.cost.cost import Budget, Cost
from search_space.network import MAX_PARAMETERS

# Parameters and MACs at 224×224 and 1000 classes, in millions as the tables print them.
GOLDEN = {
    (1.0, "none", None): (3.505, 300.8),
    (1.0, "se", 24): (3.888, 301.2),
    (1.0, "se", 12): (4.264, 301.5),
    (1.0, "ca", 32): (3.951, 306.7),
    (1.0, "ca", 24): (4.087, 308.3),
    (1.0, "ca", 16): (4.367, 311.8),
    (0.75, "none", None): (2.636, 209.1),
    (0.75, "se", 24): (2.855, 209.3),
    (0.75, "ca", 32): (2.892, 212.7),
    (0.75, "ca", 16): (3.129, 215.6),
    (0.5, "none", None): (1.969, 97.1),
    (0.5, "ca", 32): (2.096, 99.0),
    (0.5, "ca", 16): (2.193, 100.1),
}


@pytest.mark.parametrize(("width", "kind", "reduction"), GOLDEN)
def test_published_costs(width: float, kind: str, reduction: int | None) -> None:
    cost = measure(mobilenetv2(width, Attention(kind, reduction)))
    params, macs = GOLDEN[width, kind, reduction]
    assert round(cost.params / 1e6, 3) == params
    assert cost.macs / 1e6 == pytest.approx(macs, abs=0.052)


@pytest.mark.parametrize("width", [0.5, 0.75, 1.0, 1.4])
def test_parameters_equal_torchvision(width: float) -> None:
    theirs = torchvision.models.mobilenet_v2(width_mult=width)
    assert measure(mobilenetv2(width)).params == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize("size", [(96, 96), (65, 97)])
def test_logits_equal_torchvision(size: tuple[int, int]) -> None:
    theirs = torchvision.models.mobilenet_v2().eval()
    ours = build(mobilenetv2()).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv2-se", "mobilenetv2-ca"])
def test_cost_equals_direct_count(name: str) -> None:
    architecture = hand_designed(name)
    assert architecture is not None
    network = build(architecture, 10).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.randn(1, 3, 224, 224))
    params = sum(parameter.numel() for parameter in network.parameters())
    assert measure(architecture, 10) == Cost(counter.get_total_flops() // 2, params)
    assert hand_designed(f"{name}x") is None


def test_attention_stands_where_the_authors_put_it() -> None:
    network = build(mobilenetv2(attention=Attention("ca", 32)), 10)
    kinds = [type(block.attention).__name__ for stage in network.stages for block in stage]
    assert kinds == ["NoAttention"] + ["CoordinateAttention"] * 16
    block = network.stages[1][0]
    assert list(dict(block.named_children())) == ["expand", "depthwise", "attention", "project"]


def test_unbuildable_architectures_are_refused() -> None:
    base = mobilenetv2()
    with pytest.raises(InputError, match="activation 'gelu' is unknown"):
        build(dataclasses.replace(base, activation="gelu"))
    stage = dataclasses.replace(base.stages[0], block="transformer")
    with pytest.raises(InputError, match="block 'transformer' is unknown"):
        build(dataclasses.replace(base, stages=(stage,)))
    with pytest.raises(InputError, match="num_classes"):
        build(base, 0)
    huge = dataclasses.replace(base.stages[1], width=8192, expansion=16, attention=(Attention("none"),) * 8)
    with pytest.raises(InputError, match=f"more than the {MAX_PARAMETERS}"):
        build(dataclasses.replace(base, stages=(huge,) * 8))


def test_budget() -> None:
    budget = Budget(max_macs=1000, max_params=10)
    assert budget.allows(Cost(1000, 10))
    assert not budget.allows(Cost(1001, 10))
    assert not budget.allows(Cost(1000, 11))
    assert budget.excess(Cost(1000, 10)) == 0
    assert budget.excess(Cost(900, 12)) == pytest.approx(0.2)
    assert str(budget) == "1.00k MACs and 10 parameters"
    assert Budget().allows(Cost(10**15, 10**15))
    with pytest.raises(InputError, match="max_macs"):
        Budget(max_macs=0)


def test_human() -> None:
    assert [human(n) for n in (7, 64_100, 3_504_872, 300_774_272, 2 * 10**9)] == [
        "7",
        "64.1k",
        "3.50M",
        "300.8M",
        "2.00G",
    ]
    assert [human(n) for n in (94_920_123_456_789, 2 * 10**15)] == ["94.9T", "2e+15"]
    assert about(7_000, 7_000) == "7,000"
    assert about(86_849 * 10**9, 86_871 * 10**9) == "about 86.9T"
    assert about(5 * 10**9, 10**10) == "between 5.00G and 10.0G"
