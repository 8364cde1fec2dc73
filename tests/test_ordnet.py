"""The head `ordnet`: what its branches are by definition, its costs, its shared weights, and that it learns."""

import dataclasses
import json
import random
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space import Architecture, build
from search_space.cost.cost import Counter, measure, part_cost, piece_cost
from search_space.cost.priced_space import PricedSpace
from search_space.head import read_head
from search_space.network import initialise
from search_space.space import SearchSpace
from tasks.segmentation.ordnet import (
    BRANCHES,
    BranchesPart,
    GatedResidual,
    OrdnetHead,
    PatchAttention,
    Reweighing,
)

HEAD = OrdnetHead(5, width=16, grid=2)
ARMS = [(("short",), 2), (("short", "mr"), 1), (("short", "mr"), 2), (("short", "rlr"), 2), (BRANCHES, 2)]


@pytest.fixture(scope="module")
def space(tiny_space: PricedSpace) -> SearchSpace:
    """Whose last map has 8 or 16 channels, and 8×8 or 12×12 pixels."""
    return dataclasses.replace(tiny_space.space, head_width=None, resolution=(64, 96))


def _draw(space: SearchSpace, count: int) -> list[Architecture]:
    rng = random.Random(3)
    return [space.assemble(lambda name, options: rng.choice(options)) for _ in range(count)]


def _mr(channels: int, grid: int, gamma: float = 0.7) -> GatedResidual:
    branch = GatedResidual(PatchAttention(channels, grid))
    nn.init.constant_(branch.gamma, gamma)
    return branch


def _open(module: nn.Module) -> None:
    """Sets every γ to another number than 0."""
    for own in module.modules():
        if isinstance(own, GatedResidual):
            nn.init.constant_(own.gamma, 0.5)


def test_one_patch_is_global_attention() -> None:
    """Weight for weight torch's own, on pixels as tokens and without a scale."""
    branch = _mr(24, 1)
    attention = branch.inner
    x = torch.randn(2, 24, 7, 9)
    tokens = x.flatten(2)
    query, key, value = (
        made(tokens).transpose(1, 2) for made in (attention.affinity.query, attention.affinity.key, attention.value)
    )
    assert query.shape == (2, 63, 3)
    theirs = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    torch.testing.assert_close(branch(x), x + 0.7 * theirs.transpose(1, 2).reshape(x.shape))


def test_a_change_in_a_patch_stays_there() -> None:
    branch = _mr(16, 3)
    x = torch.randn(2, 16, 12, 9)
    changed = x.clone()
    changed[:, :, 5, 7] += 1  # of the patch of rows 4 to 7 and columns 6 to 8
    moved = (branch(x) != branch(changed)).any(1)
    inside = torch.zeros(12, 9, dtype=torch.bool)
    inside[4:8, 6:9] = True
    assert torch.equal(moved, inside.expand(2, 12, 9))


@pytest.mark.parametrize("grid", [6, 9])
def test_one_pixel_a_patch_attends_to_itself(grid: int) -> None:
    branch = _mr(16, grid)
    x = torch.randn(2, 16, 6, 5)
    value = branch.inner.value(x.flatten(2)).reshape(x.shape)
    torch.testing.assert_close(branch(x), 0.7 * value + x)


def _patch_by_patch(attention: PatchAttention, x: Tensor) -> Tensor:
    """Attention of each patch by itself, without padding."""
    alone = PatchAttention(x.shape[1], 1)
    alone.load_state_dict(attention.state_dict())
    height, width = (-(-side // attention.grid) for side in x.shape[2:])
    rows = [torch.cat([alone(patch) for patch in row.split(width, 3)], 3) for row in x.split(height, 2)]
    return torch.cat(rows, 2)


def _check_padding(attention: PatchAttention, x: Tensor) -> None:
    x = x.requires_grad_()
    ours, theirs = attention(x), _patch_by_patch(attention, x)
    assert ours.shape == x.shape
    torch.testing.assert_close(ours, theirs)
    (our_gradient,), (their_gradient,) = (torch.autograd.grad(y.square().sum(), x) for y in (ours, theirs))
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grid", [2, 4, 5])
def test_padding_reaches_no_pixel_at_33x47(grid: int) -> None:
    _check_padding(PatchAttention(16, grid), torch.randn(2, 16, 33, 47))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_padding_reaches_no_pixel(height: int, width: int, grid: int) -> None:
    """Nor where a grid leaves patches out: of 5 pixels cut in 4 each patch has 2, which makes 3 patches."""
    _check_padding(PatchAttention(8, grid), torch.randn(2, 8, height, width))


@given(st.integers(1, 7), st.integers(1, 7), st.sampled_from([0.1, 1.0, 10.0]))
@settings(max_examples=30, deadline=None)
def test_weights_sum_to_the_number_of_pixels(height: int, width: int, scale: float) -> None:
    weights = Reweighing(16).weights(scale * torch.randn(2, 16, height, width))
    assert weights.shape == (2, 1, height, width)
    torch.testing.assert_close(weights.sum((1, 2, 3)), torch.full((2,), float(height * width)))


def test_uniform_attention_reweighs_nothing() -> None:
    reweighing = Reweighing(16)
    nn.init.zeros_(reweighing.affinity.query.weight)
    x = torch.randn(2, 16, 6, 5)
    torch.testing.assert_close(reweighing.weights(x), torch.ones(2, 1, 6, 5))
    torch.testing.assert_close(reweighing(x), x)


def test_attention_received_varies() -> None:
    """The sums of the other axis are 1 for any input, so a mistaken axis would weigh nothing."""
    reweighing = Reweighing(16)
    x = torch.randn(2, 16, 6, 5)
    affinity = reweighing.affinity(x.flatten(2))
    torch.testing.assert_close(affinity.sum(2), torch.ones(2, 30))
    received = affinity.sum(1).reshape(2, 1, 6, 5)
    assert received.std() > 0.05
    torch.testing.assert_close(reweighing.weights(x), received)
    torch.testing.assert_close(reweighing(x), x * received)


def test_the_long_range_attends_to_what_is_reweighed() -> None:
    rlr = BranchesPart(16, ("rlr",), 3).create()["rlr"]
    _open(rlr)
    reweighing, attention = rlr.inner
    everywhere = PatchAttention(16, 1)  # the grid is the middle range's alone
    everywhere.load_state_dict(attention.state_dict())
    x = torch.randn(2, 16, 6, 5)
    torch.testing.assert_close(rlr(x), x + 0.5 * everywhere(x * reweighing.weights(x)))
    nn.init.zeros_(reweighing.affinity.query.weight)
    torch.testing.assert_close(rlr(x), x + 0.5 * everywhere(x))


@pytest.mark.parametrize("grid", [1, 2, 3, 6])
def test_products_cost_what_the_formula_says(grid: int) -> None:
    channels, side = 64, 12
    pixels = side * side
    projections = pixels * channels * (2 * channels // 8 + channels)
    cost = piece_cost(BranchesPart(channels, ("mr",), grid), side)
    assert (cost.macs - projections) * grid**2 == pixels**2 * (channels // 8 + channels)
    assert cost.params == channels * (2 * channels // 8 + channels) + 1


def test_reweighing_costs_one_product_more_than_global_attention() -> None:
    channels, side = 64, 12
    rlr, attention = (piece_cost(BranchesPart(channels, (name,), 1), side) for name in ("rlr", "mr"))
    inner = channels // 8
    assert rlr.macs - attention.macs == side**4 * inner + side**2 * 2 * channels * inner
    assert rlr.params - attention.params == 2 * channels * inner


@pytest.mark.parametrize(("branches", "grid"), ARMS)
def test_the_cost_is_that_of_the_module(branches: tuple[str, ...], grid: int, space: SearchSpace) -> None:
    """By the project's counter and by torch's, on real tensors; sides that the grid does not divide among them."""
    head = OrdnetHead(5, width=16, branches=branches, grid=grid)
    priced = PricedSpace(space, head)
    for architecture in _draw(space, 4):
        network = build(architecture, head).eval()
        images = torch.randn(1, 3, architecture.resolution, architecture.resolution)
        with torch.no_grad(), Counter() as counter:
            network(images)
        with torch.no_grad(), FlopCounterMode(display=False) as theirs:
            network(images)
        cost = measure(architecture, head)
        assert 2 * cost.macs == theirs.get_total_flops()
        assert (cost.macs, cost.elementwise) == (counter.macs, counter.elementwise)
        assert cost.params == sum(parameter.numel() for parameter in network.parameters())
        assert priced.cost(architecture) == cost


def test_padding_is_counted() -> None:
    part = dataclasses.replace(HEAD, grid=4).part(8)
    module = part.create().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        module(torch.randn(1, 8, 33, 33))
    assert 2 * part_cost(part, 33).macs == theirs.get_total_flops()


@pytest.mark.parametrize("branches", [branches for branches, _ in ARMS])
def test_logits_for_every_pixel_of_any_map(branches: tuple[str, ...]) -> None:
    head = OrdnetHead(5, width=16, branches=branches, grid=3).part(8).create()
    logits = head(torch.randn(2, 8, 33, 47))
    assert isinstance(logits, Tensor)
    assert logits.shape == (2, 5, 33, 47)
    assert [name for name, _ in head.branches.named_children()] == list(branches)


def test_attention_starts_as_the_identity() -> None:
    """And gently: a family's initialisation leaves it between the mean over the map and a choice of one pixel."""
    part = OrdnetHead(5).part(32)
    head = part.create()
    initialise(head)
    x = head.reduce(torch.randn(2, 32, 8, 8))
    before = x.clone()
    short, mr, rlr = head.branches(x).chunk(3, 1)
    assert torch.equal(x, before)
    assert torch.equal(mr, x)
    assert torch.equal(rlr, x)
    assert not torch.equal(short, x)
    for affinity in (head.branches["mr"].inner.affinity, head.branches["rlr"].inner[0].affinity):
        strongest = affinity(x.flatten(2)).amax(2)
        assert 1.2 / 64 < strongest.mean() < 0.5


def test_gradients_reach_every_parameter() -> None:
    head = HEAD.part(8).create()
    initialise(head)
    x = torch.randn(3, 8, 9, 10)
    head(x).square().mean().backward()
    gated = [module for module in head.modules() if isinstance(module, GatedResidual)]
    assert len(gated) == 2
    for module in gated:
        assert module.gamma.grad is not None
        assert module.gamma.grad != 0
        assert all(parameter.grad is None or not parameter.grad.any() for parameter in module.inner.parameters())
    _open(head)
    head.zero_grad()
    head(x).square().mean().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-7, name


FAR = [(("short",), 1, False), (("short", "mr"), 4, False), (("short", "mr"), 1, True), (("short", "rlr"), 1, True)]


@pytest.mark.parametrize(("branches", "grid", "learns"), FAR)
def test_only_what_looks_far_learns_what_is_far(branches: tuple[str, ...], grid: int, learns: bool) -> None:
    """The class of every pixel is the sign of a mark in one corner of an 8×8 map."""
    torch.manual_seed(0)
    head = OrdnetHead(2, width=16, branches=branches, grid=grid).part(3).create()
    initialise(head)
    optimiser = torch.optim.AdamW(head.parameters(), 0.01, weight_decay=0.0)
    for _ in range(150):
        x = 0.3 * torch.randn(32, 3, 8, 8)
        side = torch.randint(0, 2, (32,))
        x[torch.arange(32), side, 0, 0] += 6.0
        logits = head(x)[:, :, 4:, 4:]
        loss = F.cross_entropy(logits, side[:, None, None].expand(32, 4, 4))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (loss.item() < 0.2) == learns
    assert (loss.item() > 0.5) != learns


def test_shared_weights_are_those_of_the_network(space: SearchSpace) -> None:
    """Outputs and gradients; maps of fewer channels take the first of the stored ones."""
    store = WeightStore(space, HEAD)
    with torch.no_grad():  # norms start out all alike, and attention closed
        for tensor in store.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.1)
    widths = set()
    for architecture in _draw(space, 6):
        network = store.extract(architecture).train()
        images = torch.randn(4, 3, architecture.resolution, architecture.resolution)
        store.zero_grad()
        shared, own = store(architecture, images), network(images)
        assert torch.equal(shared, own)
        shared.square().mean().backward()
        own.square().mean().backward()
        for name, parameter in network.classifier.named_parameters():
            stored = store.tensors[f"classifier.{name}".replace(".", "/")]
            assert stored.grad is not None
            cut = stored.grad[:, : parameter.shape[1]] if name == "reduce.conv.weight" else stored.grad
            torch.testing.assert_close(cut, parameter.grad)
        widths.add(network.classifier.reduce.conv.weight.shape[1])
    assert widths == {8, 16}
    assert not list(store.buffers())


@pytest.mark.parametrize(("branches", "grid"), ARMS)
def test_a_head_is_read_as_it_was_written(branches: tuple[str, ...], grid: int) -> None:
    head = OrdnetHead(7, width=24, branches=branches, grid=grid)
    assert read_head(json.loads(json.dumps(head.to_dict()))) == head


def test_it_tells_what_it_is() -> None:
    head = OrdnetHead(7, width=24, grid=4)
    assert head.told == "ordnet head of 24 channels, 7 classes a pixel (short+mr4+rlr)"
    assert [piece.label for _, piece in head.part(40).pieces] == [
        "conv 40>24 k1 s1 relu",
        "branches 24 short+mr4+rlr",
        "conv 72>24 k1 s1 relu",
        "logits 24>7",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_classes": 0}, "num_classes: expected an integer from 1 to 1000000, got 0"),
        ({"width": True}, "width: expected an integer from 1 to 8192, got True"),
        ({"grid": 65}, "grid: expected an integer from 1 to 64, got 65"),
        ({"branches": ()}, "branches: expected some of short, mr, rlr, in this order, got ()"),
        ({"branches": ("mr", "short")}, "branches: expected some of short, mr, rlr, in this order"),
        ({"branches": ("short", "short")}, "branches: expected some of short, mr, rlr, in this order"),
        ({"branches": ("short", "aspp")}, "branches: expected some of short, mr, rlr, in this order"),
        ({"branches": "short"}, "branches: expected some of short, mr, rlr, in this order"),
    ],
)
def test_what_a_head_cannot_have(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        OrdnetHead(**{"num_classes": 3, **fields})


@pytest.mark.parametrize("branches", [None, 3, "short", ["short", 3], [["short"]], {"short": 1}])
def test_hostile_branches_in_a_file(branches: Any) -> None:
    with pytest.raises(InputError):
        read_head({**HEAD.to_dict(), "branches": branches})
