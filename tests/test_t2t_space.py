"""The spaces of T2T-ViTs: costs, twins, shared weights, files, and what found networks are compared with."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from commands.heads import head_of_space
from evaluators.supernet.store import WeightStore
from evaluators.zero_cost import single_scores
from evaluators.zero_cost.registry import SCORES
from search_space import Attention, Budget, InputError, build, measure
from search_space.baselines import compared
from search_space.cost.cost import Counter
from search_space.cost.priced_space import PricedSpace
from search_space.families.t2t.space import T2TSpace
from search_space.families.t2t.transformer import sine_table
from search_space.network import bare
from search_space.parts import NO_ATTENTION
from search_space.spaces import named_space, priced_space
from tasks.choice import task

FILE = """
family = "t2t"
name = "mine"
resolution = [32]
tokens = ["convolution", "performer"]
kernel_size = [3, 7]
token_strides = [[2, 2, 1], [2, 2, 2]]
token_width = [8, 16]
width = [32, 48]
depth = [1, 2]
heads = [1, 2]
expansion = [1]
attention = ["none", "se/4", "ca/8", "ca/16"]
head_width = 8
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> PricedSpace:
    path = tmp_path_factory.mktemp("space") / "mine.toml"
    path.write_text(FILE)
    return PricedSpace(named_space(str(path)), 5)


def test_a_file_is_read(small: PricedSpace) -> None:
    space = small.space
    assert isinstance(space, T2TSpace)
    assert space.token_strides == ((2, 2, 1), (2, 2, 2))
    assert space.attention == (NO_ATTENTION, Attention("se", 4), Attention("ca", 8), Attention("ca", 16))
    assert space.table_width == 48


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("[3, 7]", "[3, 6]", r"line 6: kernel_size: expected an odd integer, got 6"),
        ("[[2, 2, 1], [2, 2, 2]]", "[[2, 2]]", r"line 7: token_strides: expected 3 strides each, got \(2, 2\)"),
        ("[[2, 2, 1], [2, 2, 2]]", "[2]", r"line 7: token_strides: expected 3 strides each, got 2"),
        ('["convolution", "performer"]', '["pixels"]', r"line 5: tokens: 'pixels' is unknown; known: performer, "),
        ('["convolution", "performer"]', '["patch"]', r"line 5: tokens: 'patch' is unknown"),
        ("heads = [1, 2]", "heads = [0, 2]", r"line 11: heads: expected an integer from 1 to 64, got 0"),
        ("depth = [1, 2]", "depth = [0, 2]", r"line 10: depth: expected integers from 1, got 0"),
        ("depth = [1, 2]", "depth = [1, 99]", r"expected 1 to 64 entries, got 99"),
        ('"se/4"', '"se"', r"attention: reduction: attention 'se' needs a reduction ratio"),
        ('"se/4"', '"se/4", "se/4"', r"attention: se/4 is given twice"),
        ("head_width = 8\n", "", r"head_width: missing"),
    ],
)
def test_errors_name_line_and_key(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    assert before in FILE
    path.write_text(FILE.replace(before, after))
    with pytest.raises(InputError, match=message):
        named_space(str(path))


def test_what_would_take_very_long_is_refused() -> None:
    space = named_space("t2t-32")
    assert isinstance(space, T2TSpace)
    with pytest.raises(InputError, match="too many to count"):
        replace(space, width=tuple(range(16, 16 + 2000)))
    attention = tuple(Attention("se", reduction) for reduction in range(1, 201))
    with pytest.raises(InputError, match=r"attention: 200 attentions, .* too many to count; offer fewer"):
        replace(space, attention=attention, width=tuple(range(16, 16 + 201)))
    with pytest.raises(InputError, match=r"attention: 200 attentions, .* too many to count; offer fewer"):
        replace(space, attention=attention, heads=tuple(range(1, 22)))


def _drawn(name: str, seed: int) -> Any:
    rng = random.Random(seed)
    return priced_space(name).space.assemble(lambda _, options: rng.choice(options))


@settings(max_examples=15, deadline=None)
@given(name=st.sampled_from(["t2t-32", "t2t"]), seed=st.integers(0, 2**31))
def test_the_table_s_costs_are_a_network_s(name: str, seed: int) -> None:
    priced, architecture = priced_space(name), _drawn(name, seed)
    with torch.device("meta"):
        network = build(architecture, priced.num_classes).eval()
    side = architecture.resolution
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, side, side, device="meta"))
    cost = priced.cost(architecture)
    assert cost.macs == counter.get_total_flops() // 2
    assert cost.params == sum(parameter.numel() for parameter in network.parameters())
    assert cost == measure(architecture, priced.num_classes)


@pytest.mark.parametrize("score", single_scores())
def test_every_zero_cost_score_is_one_of_transformers_too(score: str) -> None:
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        found.append(SCORES[score](build(_drawn("t2t-32", seed), 10).train(), images, labels))
    assert all(math.isfinite(value) for value in found)
    assert len(set(found)) == 3


def test_heads_cost_macs_whatever_the_width() -> None:
    architecture = priced_space("t2t-32").smallest
    first = architecture.blocks[0]
    more = replace(architecture, blocks=(replace(first, heads=first.heads + 1), *architecture.blocks[1:]))
    tokens = 1 + (32 // architecture.total_stride) ** 2
    expected = 4 * tokens * architecture.width * 16 + 2 * tokens**2 * 16
    assert measure(more, 10).macs - measure(architecture, 10).macs == expected


def test_no_two_are_the_same_network(small: PricedSpace) -> None:
    everything = list(small.space.enumerate())
    count = 16 * sum((2 * _attentions(width)) ** depth for width in (32, 48) for depth in (1, 2))
    assert small.count() == (len(everything), len(everything)) == (count, count)
    some = random.Random(0).sample(everything, 150)
    with torch.device("meta"):
        networks = [bare(one, 5) for one in some]
    shapes = ([tuple(parameter.shape) for parameter in network.parameters()] for network in networks)
    told = {
        (str(network), one.token_strides, str(own)) for network, one, own in zip(networks, some, shapes, strict=True)
    }
    assert len(told) == len(some)


def _attentions(width: int) -> int:
    """None, SE, and CA once: of at most 48 channels both ratios leave the least of 8."""
    assert max(8, width // 8) == 8
    return 3


def test_a_twin_is_found_by_its_first_name(small: PricedSpace) -> None:
    architecture = small.smallest
    block = replace(architecture.blocks[0], attention=Attention("ca", 16))
    written = replace(architecture, blocks=(block, *architecture.blocks[1:]))
    assert small.space.canonical(written).blocks[0].attention == Attention("ca", 8)
    with pytest.raises(InputError, match=r"blocks\[0\]: .* is not in space mine"):
        small.space.canonical(replace(architecture, blocks=(replace(block, heads=7),)))
    with pytest.raises(InputError, match="is not in space mine"):
        small.space.canonical(replace(architecture, table_width=64))


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_budget_is_counted_and_drawn_exactly(small: PricedSpace, share: float) -> None:
    low, high = small.cost(small.smallest).macs, small.cost(small.largest).macs
    within = small.within(Budget(max_macs=int(low + share * (high - low))))
    fitting = sum(within.budget.allows(small.cost(one)) for one in small.space.enumerate())
    lower, upper = within.count()
    assert lower <= fitting <= upper
    rng = random.Random(0)
    assert all(within.allows(within.sample(rng)) for _ in range(100))


def test_a_network_alone_has_the_positions_of_shared_weights(small: PricedSpace) -> None:
    store = WeightStore(small.space, 5)
    for architecture in (small.smallest, small.largest):
        network = store.extract(architecture)
        with torch.no_grad():
            network.embedding.project.weight.zero_()
            network.embedding.project.bias.zero_()
        tokens = network.embedding(network.tokens(torch.zeros(1, 3, 32, 32)))[0, 1:]
        table = sine_table(1 + len(tokens), 48, torch.device("cpu"))
        torch.testing.assert_close(tokens, table[1:, : architecture.width])


def test_kinds_and_kernels_of_tokens_have_weights_of_their_own(small: PricedSpace) -> None:
    keys = {key.rpartition("/attention")[0] or key for key in WeightStore(small.space, 5).tensors}
    for kernel in (3, 7):
        assert f"tokens/0/performer/kernel{kernel}" in keys
        assert f"tokens/0/convolution/kernel{kernel}/conv/weight" in keys


@pytest.mark.parametrize("inside", [True, False])
def test_what_it_is_compared_with_fills_the_budget(inside: bool) -> None:
    priced = priced_space("t2t-32")
    rng = random.Random(3)
    architecture = priced.within(Budget(max_macs=18_000_000)).sample(rng)
    found = compared(architecture, priced.space if inside else None, Budget(max_macs=18_000_000), 10)
    assert next(iter(found)) == "uniform none"
    assert {name.split("/")[0] for name in found} == {"uniform none", "uniform se", "uniform ca"}
    for network in found.values():
        assert 17_640_000 <= measure(network, 10).macs <= 18_000_000
        assert len({block.attention for block in network.blocks}) == 1  # type: ignore[attr-defined]


def test_elementwise_work_is_counted_but_for_folding() -> None:
    """What gates the grid is put between the tokens and back: that alone is no part's."""
    architecture = priced_space("t2t-32").smallest
    plain = replace(architecture, blocks=tuple(replace(one, attention=NO_ATTENTION) for one in architecture.blocks))
    with torch.device("meta"):
        network = build(plain, 10).eval()
        images = torch.empty(1, 3, 32, 32)
    with torch.no_grad(), Counter() as counter:
        network(images)
    # Of a block's skip the class token is left out.
    assert counter.elementwise - measure(plain, 10).elementwise == plain.depth * plain.width


def test_a_head_that_depends_on_the_stride_is_refused() -> None:
    space = named_space("t2t-32")
    assert head_of_space(task("segmentation", "conv"), 5, space).to_dict()["num_classes"] == 5
    with pytest.raises(InputError, match="its networks differ in their last map's stride, and so in their heads"):
        head_of_space(task("segmentation", "deeplabv3"), 5, space)


def test_a_network_of_many_heads_is_compared(tmp_path: Path) -> None:
    """Four times as wide, where the bisection begins, it would have more heads than a network may have."""
    path = tmp_path / "mine.toml"
    path.write_text(
        FILE.replace("heads = [1, 2]", "heads = [24, 32]").replace("width = [32, 48]", "width = [192, 256]")
    )
    priced = PricedSpace(named_space(str(path)), 5)
    found = priced.sample(random.Random(0))
    cost = priced.cost(found).macs
    for network in compared(found, priced.space, cost, priced.head).values():
        assert measure(network, priced.head).macs == pytest.approx(cost, rel=0.011)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("[[2, 2, 1], [2, 2, 2]]", '[["4", "2", "2"]]', "token_strides: expected 3 strides each, got "),
        ('["convolution", "performer"]', '[["performer"]]', "tokens: .* is unknown; known: "),
        ("[32, 48]", '[32, "48"]', "width: expected entries of one kind, got "),
    ],
)
def test_a_file_of_other_kinds_is_refused(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in FILE
    path = tmp_path / "mine.toml"
    path.write_text(FILE.replace(before, after))
    with pytest.raises(InputError, match=rf"`space` .*mine\.toml: line \d+: {told}"):
        named_space(str(path))
