"""Weight sharing: sub-networks are views, and are trained fairly."""

import copy
import dataclasses
import functools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from evaluators.supernet.sandwich import Sandwich
from evaluators.supernet.settings import SupernetRecipe
from evaluators.supernet.store import WeightStore, _cuts
from search_space import Architecture, Attention, Budget, InputError, build
from search_space.backbones import mobilenetv2
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.blocks import stage_blocks
from search_space.families.mobile.stage_options import StageOptions
from search_space.first_weights import FirstWeights
from search_space.network import Network, parts
from search_space.pretrained import published
from search_space.space import SearchSpace
from search_space.spaces import SPACES, named_space, priced_space
from training.evaluation import recompute_batch_statistics

NAMES = ["tiny", *(name for name in SPACES if name not in ("mobilenetv2-32", "photos"))]  # made of what mobile-32 is
MOBILE = [name for name in NAMES if name == "tiny" or named_space(name).family == "mobile"]
only_mobile = pytest.mark.parametrize("space", MOBILE, indirect=True)


@pytest.fixture(scope="module", params=NAMES)
def space(request: pytest.FixtureRequest, tiny_space: PricedSpace) -> PricedSpace:
    return tiny_space if request.param == "tiny" else priced_space(request.param)


class _Undrawn(TorchFunctionMode):
    """Has weights that modules draw start as zeros: drawing those of whole spaces takes far longer."""

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__module__", None) != "torch.nn.init":
            return function(*args, **(kwargs or {}))
        tensor = kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        with torch.no_grad():
            return tensor.zero_()


def _drawn_store(space: PricedSpace, *, own_kernels: bool = False) -> WeightStore:
    """Weights that all differ, norms' too: those start out all alike, and a wrong cut of them would not show."""
    torch.manual_seed(1)
    with _Undrawn():
        store = WeightStore(space.space, space.num_classes, own_kernels=own_kernels)
    with torch.no_grad():
        for tensor in store.parameters():
            tensor.add_(torch.randn_like(tensor), alpha=0.05)
    return store


@pytest.fixture(scope="module")
def store(space: PricedSpace) -> WeightStore:
    return _drawn_store(space)


Covering = Callable[[SearchSpace, int], list[Architecture]]


def _some(space: PricedSpace, count: int) -> list[Architecture]:
    rng = random.Random(7)
    return [space.space.assemble(lambda name, options: rng.choice(options)) for _ in range(count)]


def test_view_equals_extracted_module_bit_for_bit(space: PricedSpace, store: WeightStore, covering: Covering) -> None:
    for architecture in covering(space.space, 6):
        network = store.extract(architecture).train()
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(2, 3, 32, 24).contiguous(memory_format=layout)
            assert torch.equal(store(architecture, x), network(x)), layout


@functools.cache
def _published() -> Network:
    """Weights as published ones are named and shaped."""
    return published(mobilenetv2(), torchvision.models.mobilenet_v2().state_dict())


def test_published_weights_are_shared() -> None:
    space, source = priced_space("mobilenetv2"), _published()
    store = _drawn_store(space)
    reports = store.carry_over(FirstWeights(source=lambda architecture: source))
    assert reports.keys() == {"none", "se", "ca"}
    network = store.extract(space.space.canonical(mobilenetv2()))
    for (name, parameter), theirs in zip(network.named_parameters(), source.parameters(), strict=True):
        assert torch.equal(parameter, theirs), name
    # New attention starts with constant gates; batch statistics, recomputed for each candidate, make up for it.
    attended = store.extract(space.space.canonical(mobilenetv2(attention=Attention("ca", 32))))
    x = torch.randn(2, 96, 5, 5)
    torch.testing.assert_close(attended.stages[1][0].attention.eval()(x), x / 4)


def test_gradients_equal_those_of_the_extracted_module(
    space: PricedSpace, store: WeightStore, covering: Covering
) -> None:
    gradients = copy.deepcopy(store)
    for architecture in covering(space.space, 3):
        network = store.extract(architecture).train()
        x = torch.randn(2, 3, 32, 32)
        store.zero_grad()
        store(architecture, x).square().sum().backward()
        network(x).square().sum().backward()
        _hold_gradients(gradients, store)
        cut = gradients.views(architecture)
        assert cut.keys() == dict(network.named_parameters()).keys()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                torch.testing.assert_close(cut[name], parameter.grad, msg=lambda text, name=name: f"{name}: {text}")
                cut[name].zero_()
        # What is left lies outside the views.
        assert not any(tensor.any() for tensor in gradients.parameters())


def _hold_gradients(gradients: WeightStore, store: WeightStore) -> None:
    """Has `gradients` hold those of `store`, so that its views are cut as those are."""
    with torch.no_grad():
        for key, tensor in gradients.tensors.items():
            gradient = store.tensors[key].grad
            tensor.copy_(torch.zeros_like(tensor) if gradient is None else gradient)


def test_views_share_leading_channels_and_centred_kernels() -> None:
    assert _cuts((8, 4, 7, 7), (6, 4, 3, 3)) == ((0, 0, 6), (2, 2, 3), (3, 2, 3))
    assert _cuts((8,), (8,)) == ()
    with pytest.raises(ValueError, match="not part of"):
        _cuts((8,), (9,))


@only_mobile
def test_kernels_of_their_own(space: PricedSpace, covering: Covering) -> None:
    """With `own_kernels` a training step of one kernel size leaves the weights of the others as they are."""
    store = _drawn_store(space, own_kernels=True)
    for architecture in covering(space.space, 3):
        x = torch.randn(2, 3, 32, 24)
        store.zero_grad()
        out = store(architecture, x)
        assert torch.equal(out, store.extract(architecture).train()(x))
        out.sum().backward()
        for index, stage in enumerate(architecture.stages):
            for key, tensor in store.tensors.items():
                if key.startswith(f"stages/{index}/") and "/kernel" in key:
                    size = stage.start_kernel_size if "/start/" in key else stage.kernel_size
                    assert tensor.grad is None or f"/kernel{size}/" in key, key


def test_published_weights_reach_every_kernel() -> None:
    space, source = priced_space("mobilenetv2"), _published()
    store = _drawn_store(space, own_kernels=True)
    assert store.carry_over(FirstWeights(source=lambda architecture: source)).keys() == {"none", "se", "ca"}
    theirs = source.stages[1][0].depthwise.conv.weight
    for size in (3, 5, 7):
        own = store.tensors[f"stages/1/0/depthwise/kernel{size}/conv/weight"]
        edge = (size - 3) // 2
        assert torch.equal(own[: len(theirs), :, edge : size - edge, edge : size - edge], theirs)
        assert own[: len(theirs)].count_nonzero() == theirs.count_nonzero()  # zeros around


@only_mobile
def test_ratios_of_a_kind_share_and_kinds_do_not(store: WeightStore, space: PricedSpace) -> None:
    keys = set(store.tensors)
    assert any("/attention/se/" in key for key in keys)
    assert any("/attention/ca/" in key for key in keys)
    assert not any("/attention/none/" in key for key in keys)
    assert all(key.count("attention") <= 1 for key in keys)


def test_the_store_holds_parameters_only(store: WeightStore, space: PricedSpace) -> None:
    before = {key: tensor.detach().clone() for key, tensor in store.state_dict().items()}
    for architecture in _some(space, 3):
        store(architecture, torch.randn(4, 3, 32, 32)).sum().backward()
    after = store.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not list(store.buffers())


def test_an_extracted_network_is_its_own(store: WeightStore, space: PricedSpace) -> None:
    architecture = _some(space, 1)[0]
    network = store.extract(architecture)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(view.abs().sum() > 0 for view in store.views(architecture).values())
    reference = build(architecture, space.num_classes).state_dict()
    assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in reference.items()}


def test_no_module_is_made_twice(space: PricedSpace, store: WeightStore, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = _some(space, 1)[0]
    x = torch.randn(2, 3, 32, 32)
    store(architecture, x)
    for _, part in parts(architecture, space.num_classes):
        for piece in (part, *(one for _, one in getattr(part, "pieces", ()))):
            monkeypatch.setattr(type(piece), "create", lambda made: pytest.fail(f"made again: {made}"))
    store(architecture, x)


def test_a_copy_shares_neither_tensors_nor_cached_modules(tiny_space: PricedSpace) -> None:
    store = WeightStore(tiny_space.space, tiny_space.num_classes)
    architecture = tiny_space.largest
    x = torch.randn(2, 3, 16, 16)
    before = store(architecture, x)
    copied = copy.deepcopy(store)
    assert not any(copied._modules_caches)
    assert copied.space is store.space
    with torch.no_grad():
        for tensor in store.parameters():
            tensor.zero_()
    assert torch.equal(copied(architecture, x), before)
    assert not store(architecture, x).any()


def test_the_cache_is_bounded(tiny_space: PricedSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.supernet.store.MAX_CACHED_MODULES", 5)
    store = WeightStore(tiny_space.space, tiny_space.num_classes)
    for architecture in _some(tiny_space, 5):
        store(architecture, torch.randn(2, 3, 16, 16))
    assert len(store._modules_caches[0]) <= 5


class TestSandwich:
    """Which networks a step trains."""

    def _sandwich(self, space: PricedSpace) -> Sandwich:
        return Sandwich(WeightStore(space.space, space.num_classes), SupernetRecipe(random_networks=2), seed=3)

    @only_mobile
    def test_largest_and_smallest(self, space: PricedSpace, store: WeightStore) -> None:
        sandwich = Sandwich(store, self._recipe(space), seed=3)
        largest, smallest, *random_ones = sandwich.architectures(5)
        assert len(random_ones) == 2
        for index, options in enumerate(space.space.stages):
            for pick, architecture in ((max, largest), (min, smallest)):
                stage = architecture.stages[index]
                assert stage.depth == pick(options.depth)
                if not stage.depth:
                    continue  # left out
                if not stage.block.startswith("sandglass"):  # where twins leave other extremes
                    assert stage.expansion == pick(options.expansion)
                assert stage.kernel_size == pick(options.kernel_size)
                before = architecture.stages[index - 1].width if index else architecture.stem_width
                assert stage.width == (pick(options.width) if options.width else before)

    def _recipe(self, space: PricedSpace) -> SupernetRecipe:
        """Draws from within the budget where that takes no large table of costs."""
        return SupernetRecipe(random_networks=2, within_budget=space.space.name in ("tiny", "mobilenetv4-32"))

    @only_mobile
    def test_every_kind_is_trained_equally_often(self, space: PricedSpace, store: WeightStore) -> None:
        sandwich = Sandwich(store, self._recipe(space), seed=3)
        steps = 30
        networks = [architecture for step in range(steps) for architecture in sandwich.architectures(step)]
        for index in range(len(space.space.stages)):
            offered = list(dict.fromkeys(attention.kind for attention in space.space.stages[index].attention))
            if not {"sandglass_thin", "conv_norm"}.isdisjoint(space.space.stages[index].blocks):
                continue  # not every block has a place for attention
            if len(offered) == 1:
                continue  # nothing to choose
            if 0 in space.space.stages[index].depth:
                continue  # the turns of networks without it are lost
            trained = [architecture.stages[index].attention[0] for architecture in networks]
            counts = Counter(attention.kind for attention in trained)
            assert counts == dict.fromkeys(offered, steps * 4 // len(offered))
            for start in range(0, len(trained), len(offered)):
                turn = trained[start : start + len(offered)]
                assert {attention.kind for attention in turn} == set(offered)

    def test_ratios_are_uniform_within_a_kind(self) -> None:
        space = priced_space("mobilenetv2-32")
        recipe = SupernetRecipe(smallest=False, random_networks=0)
        sandwich = Sandwich(WeightStore(space.space, space.num_classes), recipe, seed=3)
        last = [sandwich.architectures(step)[0].stages[-1].attention[0] for step in range(600)]
        counts = Counter(attention for attention in last if attention.kind == "ca")
        assert set(counts) == {Attention("ca", 4), Attention("ca", 8), Attention("ca", 16)}
        assert max(counts.values()) < 1.6 * min(counts.values())

    def test_random_networks_come_from_the_window(self) -> None:
        """Whatever attention the turn adds, the rest is that of a draw from the budget, at least half of it."""
        space = priced_space("mobilenetv2-32")
        recipe = SupernetRecipe(largest=False, smallest=False, random_networks=2, window=0.5)
        sandwich = Sandwich(
            WeightStore(space.space, space.num_classes), recipe, seed=3, priced=space.within(Budget(max_macs=800_000))
        )
        networks = [network for step in range(60) for network in sandwich.architectures(step)]
        assert len(networks) == 120
        bare = [
            dataclasses.replace(
                network,
                stages=tuple(
                    dataclasses.replace(stage, attention=(Attention("none"),) * stage.depth) for stage in network.stages
                ),
            )
            for network in networks
        ]
        macs = [space.cost(network).macs for network in bare]
        assert max(macs) <= 800_000
        assert min(space.cost(network).macs for network in networks) >= 0.5 * 800_000
        # Drawn decision by decision, hardly one would be as cheap.
        free = Sandwich(sandwich.store, dataclasses.replace(recipe, within_budget=False), seed=3)
        assert sum(space.cost(n).macs <= 800_000 for step in range(60) for n in free.architectures(step)) < 30

    def test_a_step_needs_a_network(self) -> None:
        with pytest.raises(InputError, match="random_networks: 0 without largest and smallest"):
            SupernetRecipe(largest=False, smallest=False, random_networks=0)
        with pytest.raises(InputError, match=r"window: expected a share from 0 to below 1, got 1\.5"):
            SupernetRecipe(window=1.5)

    def test_without_distillation_all_learn_from_the_labels(self, tiny_space: PricedSpace) -> None:
        """The smallest network's gradient depends on the labels exactly if nothing is distilled."""
        images, labels = torch.randn(8, 3, 24, 24), torch.randint(4, (8,))
        for distillation in (True, False):
            recipe = SupernetRecipe(random_networks=0, distillation=distillation)
            sandwich = Sandwich(WeightStore(tiny_space.space, tiny_space.num_classes), recipe, seed=3)
            both, alone = [], []
            for wanted in (labels, (labels + 1) % 4):
                for result, own in ((both, sandwich), (alone, self._first_only(sandwich))):
                    own.store.zero_grad()
                    own(images, wanted, 0)
                    result.append(own.store.tensors["classifier/weight"].grad.clone())  # type: ignore[union-attr]
            smallest = [one - other for one, other in zip(both, alone, strict=True)]
            assert torch.allclose(*smallest, atol=1e-6) == distillation

    def _first_only(self, sandwich: Sandwich) -> Sandwich:
        """A sandwich over the same store that trains the largest of its networks alone."""
        recipe = dataclasses.replace(sandwich.recipe, smallest=False)
        first = Sandwich(sandwich.store, recipe, seed=3)
        first.architectures = lambda step: sandwich.architectures(step)[:1]  # type: ignore[method-assign]
        return first

    def test_steps_replay(self, tiny_space: PricedSpace) -> None:
        one, other = self._sandwich(tiny_space), self._sandwich(tiny_space)
        other.architectures(3)
        assert one.architectures(9) == other.architectures(9)
        assert one.architectures(9) != one.architectures(10)

    def test_a_step_learns(self, tiny_space: PricedSpace) -> None:
        sandwich = self._sandwich(tiny_space)
        images, labels = torch.randn(16, 3, 16, 16), torch.randint(4, (16,))
        optimizer = torch.optim.SGD(sandwich.store.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for step in range(40):
            optimizer.zero_grad()
            losses.append(sandwich(images, labels, step))
            nn.utils.clip_grad_norm_(sandwich.store.parameters(), 5.0)
            optimizer.step()
        assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


class TestAttentionPerBlock:
    """A space in which every block has an attention of its own."""

    @pytest.fixture
    def store(self, tiny_space: PricedSpace) -> WeightStore:
        return WeightStore(dataclasses.replace(tiny_space.space, attention_per="block"), 4)

    def test_views_equal_extracted_modules(self, store: WeightStore) -> None:
        mixed = 0
        for architecture in _some(PricedSpace(store.space, 4), 20):
            mixed += any(len(set(stage.attention)) > 1 for stage in architecture.stages)
            network = store.extract(architecture).train()
            x = torch.randn(4, 3, 32, 24)
            assert torch.equal(store(architecture, x), network(x))
        assert mixed > 5

    def test_every_kind_is_trained_equally_often_in_every_block(self, store: WeightStore) -> None:
        sandwich = Sandwich(store, SupernetRecipe(random_networks=2), seed=3)
        networks = [architecture for step in range(60) for architecture in sandwich.architectures(step)]
        for index in range(2):
            kinds = [tuple(own.kind for own in architecture.stages[index].attention) for architecture in networks]
            assert Counter(own[0] for own in kinds) == dict.fromkeys(("none", "se", "ca"), 80)
            # The second block is in some networks only, and so misses turns, of every kind alike.
            counts = Counter(own[1] for own in kinds if len(own) == 2)
            assert len(counts) == 3
            assert max(counts.values()) < 1.5 * min(counts.values())
            pairs = Counter(own for own in kinds if len(own) == 2)
            assert len(pairs) == 9
        assert {len(stage.attention) for stage in networks[0].stages} == {2}
        assert {len(stage.attention) for stage in networks[1].stages} == {1}


def _bottlenecks(space: PricedSpace, index: int, in_width: int) -> dict[tuple[int, int], int]:
    """Channels within a sandglass, by width and expansion."""
    found = {}
    for shape in space.space.shapes(index, in_width):
        pieces = dict(stage_blocks(shape.link, in_width, space.space.activation)[0].pieces)
        found[shape.link.width, shape.link.expansion] = pieces["expand"].in_channels
    return found


def test_the_largest_sandglass_has_the_widest_bottleneck() -> None:
    # The rule on its least channels overrules the ratio: here the higher ratio has more of them.
    space = priced_space(str(Path(__file__).parent.parent / "examples" / "spaces" / "sandglass.toml"))
    assert _bottlenecks(space, 0, 16) == {(32, 2): 8, (32, 4): 16, (48, 2): 8, (48, 4): 16}
    largest = space.space.extreme(lambda name, options: options[0], largest=True).stages[0]
    smallest = space.space.extreme(lambda name, options: options[0], largest=False).stages[0]
    assert (largest.width, largest.expansion) == (48, 4)
    assert (smallest.width, smallest.expansion) == (32, 2)
    store = WeightStore(space.space, space.num_classes)
    for architecture in _some(space, 20):
        store(architecture, torch.randn(2, 3, 32, 32))


def test_a_narrower_input_can_have_the_widest_bottleneck() -> None:
    first = StageOptions("sandglass", 2, (12, 16), (1,), (2,), (3,), (Attention("none"),))
    space = SearchSpace("few", (32,), 8, 2, (first, dataclasses.replace(first, width=(48,))), None, "relu6")
    assert [_bottlenecks(PricedSpace(space), 1, width) for width in (12, 16)] == [{(48, 2): 16}, {(48, 2): 8}]
    store = WeightStore(space, 4)
    for architecture in space.enumerate():
        network = store.extract(architecture).train()
        x = torch.randn(2, 3, 32, 32)
        assert torch.equal(store(architecture, x), network(x))


def test_batch_statistics_are_the_plain_average(tiny_space: PricedSpace) -> None:
    network = build(tiny_space.largest, 4)
    batches = [(torch.randn(16, 3, 24, 24) + shift, torch.zeros(16)) for shift in (0.0, 1.0)]
    recompute_batch_statistics(network, batches)
    stem: Any = network.stem
    with torch.no_grad():
        means = [stem.conv(images).mean((0, 2, 3)) for images, _ in batches]
    torch.testing.assert_close(stem.norm.running_mean, (means[0] + means[1]) / 2)
    assert stem.norm.momentum == 0.1
