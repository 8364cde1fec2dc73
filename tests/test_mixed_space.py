"""Two families under one budget: `--space mobilenetv2-32,t2t-32`."""

import itertools
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import search
from commands.search_settings import usual
from commands.search_setup import Own, search_setup
from evaluators.supernet.sandwich import Sandwich
from evaluators.supernet.settings import SupernetRecipe
from evaluators.supernet.store import WeightStore
from evaluators.weight_sources import first_weights
from search_space import Attention, Budget, InputError, measure
from search_space.baselines import compared
from search_space.cost.encoding import encoding
from search_space.cost.priced_space import PricedSpace
from search_space.families.mixed.space import MixedSpace
from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.families.t2t.space import T2TSpace
from search_space.first_weights import SCRATCH, TORCHVISION
from search_space.pretrained import at_hand
from search_space.space import SearchSpace
from search_space.spaces import named_space, priced_space
from search_space.variation import crossover, mutate
from tests.saying import Saying

NAME = "mobilenetv2-32,t2t-32"
CPU = torch.device("cpu")
BUDGET = Budget(max_macs=4_000_000)


@pytest.fixture(scope="module")
def mixed() -> PricedSpace:
    return priced_space(NAME)


def test_it_holds_both_and_counts_their_sum(mixed: PricedSpace) -> None:
    alone = [priced_space(name) for name in NAME.split(",")]
    assert mixed.num_classes == 10
    (found, exact), parts = mixed.count(), [one.count()[0] for one in alone]
    assert found == exact == sum(parts)
    assert mixed.cost(mixed.smallest) == min(one.cost(one.smallest) for one in alone)
    assert mixed.cost(mixed.largest).macs == max(one.cost(one.largest).macs for one in alone)
    assert PricedSpace.from_dict(json.loads(json.dumps(mixed.to_dict()))) == mixed


def test_each_is_drawn_as_often_and_within_the_budget(mixed: PricedSpace) -> None:
    within, rng = mixed.within(BUDGET), random.Random(0)
    drawn = [within.sample(rng) for _ in range(200)]
    seen = Counter(one.family for one in drawn)
    assert seen.keys() == {"mobile", "t2t"}
    assert min(seen.values()) > 70
    for one in drawn:
        assert within.cost(one) == measure(one, 10)
        assert within.allows(one)
    numpy = np.random.default_rng(0)
    assert {within.sample(numpy).family for _ in range(20)} == {"mobile", "t2t"}


def test_a_budget_that_one_alone_meets_draws_from_that(mixed: PricedSpace) -> None:
    smallest = [measure(priced_space(name).smallest, 10).macs for name in NAME.split(",")]
    bound = (smallest[0] + smallest[1]) // 2
    family = ("mobile", "t2t")[smallest.index(min(smallest))]
    within = mixed.within(Budget(max_macs=bound))
    assert {within.sample(random.Random(seed)).family for seed in range(10)} == {family}
    with pytest.raises(InputError, match=f"the smallest network of space {NAME}"):
        mixed.within(Budget(max_macs=10)).sample(random.Random(0))


def test_decisions_replay_and_vary(mixed: PricedSpace) -> None:
    within, rng = mixed.within(BUDGET), random.Random(1)
    drawn = [within.sample(rng) for _ in range(20)]
    for one in drawn:
        choices = mixed.space.choices(one)
        assert choices["space"] == mixed.space.member_of(one).name  # type: ignore[union-attr]
        assert mixed.space.assemble(lambda name, options, choices=choices: choices[name]) == one
    assert {mutate(within, drawn[0], rng, rate=0.3).family for _ in range(40)} == {"mobile", "t2t"}
    for one, other in itertools.pairwise(drawn):
        child = crossover(within, one, other, rng)
        assert child.family in (one.family, other.family)
        assert within.allows(child)


def test_codes_decode_and_cost_the_same(mixed: PricedSpace) -> None:
    within, rng = mixed.within(BUDGET), random.Random(2)
    drawn = [within.sample(rng) for _ in range(30)]
    known = encoding(within)
    codes = known.encode(drawn)
    assert [known.decode(code) for code in codes] == drawn
    assert [cost[0] for cost in known.costs(codes)] == [within.cost(one).macs for one in drawn]
    assert known.features(codes).shape == (30, len(known.names))
    again = known.recombine(codes, 40, np.random.default_rng(0))
    assert {known.decode(code).family for code in again} == {"mobile", "t2t"}


def test_shared_weights_hold_both(mixed: PricedSpace) -> None:
    store = WeightStore(mixed.space, 10, own_kernels=True)
    assert {key.split("/")[0] for key in store.tensors} == {"mobile", "t2t"}
    rng = random.Random(3)
    within = mixed.within(BUDGET)
    images = torch.randn(2, 3, 32, 32)
    for one in [within.sample(rng) for _ in range(6)]:
        assert torch.equal(store(one, images), store.extract(one).train()(images))
    sandwich = Sandwich(store, SupernetRecipe(random_networks=1), seed=0, priced=within)
    for place in range(3):  # the largest, the smallest and a random one are of either kind
        assert {sandwich.architectures(step)[place].family for step in range(12)} == {"mobile", "t2t"}
    store.zero_grad()
    sandwich(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]), 0)
    assert any(tensor.grad is not None for tensor in store.parameters())


def test_what_a_network_is_compared_with_is_of_its_family(mixed: PricedSpace) -> None:
    rng = random.Random(4)
    within = mixed.within(Budget(max_macs=18_000_000))
    for family in ("mobile", "t2t"):
        one = next(one for one in iter(lambda: within.sample(rng), None) if one.family == family)
        found = compared(one, mixed.space, within.budget, 10)
        assert {network.family for network in found.values()} == {family}


def test_spaces_of_one_name_are_refused_and_blanks_are_no_part_of_one() -> None:
    first, second = (SearchSpace.from_dict({**named_space(name).to_dict(), "name": "mine"}) for name in NAME.split(","))
    with pytest.raises(InputError, match="two are named mine; rename one"):
        MixedSpace((first, second))
    assert named_space("mobilenetv2-32, t2t-32") == named_space(NAME)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilenetv2-32,mobile-32", "mobilenetv2-32 and mobile-32 are both of family mobile; name one"),
        ("mobilenetv2,t2t-32", "mobilenetv2 is for .* pixels, t2t-32 for 32; name such as offer the same"),
        ("t2t-32,", "`space` t2t-32,: a name is missing beside a comma"),
        ("t2t-32,pooled-32", "their parts decide other things; search them apart"),
    ],
)
def test_what_cannot_be_searched_together_is_said(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        named_space(name)


def test_a_search_answers_with_one_front(tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = ["--space", NAME, "--evaluator", "zero-cost", "--score", "grad_norm", "--max-macs", "4M", "--trials", "26"]
    search.main([*given, "--quiet", "--out", str(run)])
    front = json.loads((run / "front.json").read_text())["front"]
    assert front
    assert all(one["cost"]["macs"] <= BUDGET.max_macs for one in front)
    page = (run / "report.html").read_text()
    assert "<svg" in page


@pytest.fixture
def mostly_mobile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MixedSpace:
    """Spaces whose largest network is of the family with published weights, which torch has downloaded already."""
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *a, **k: pytest.fail("a download"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "mobilenet_v2-7ebf99e0.pth").write_bytes(b"")
    mobile, tokens = named_space("photos").at(32), named_space("t2t-32")
    assert isinstance(tokens, T2TSpace)
    small = replace(tokens, tokens=("convolution",), kernel_size=(3,), token_strides=((4, 2, 1),), token_width=(8,))
    space = MixedSpace((mobile, replace(small, width=(48,), depth=(4,), expansion=(1,))))
    assert PricedSpace(space, 4).largest.family == "mobile"
    assert at_hand(PricedSpace(mobile, 4).largest)[0] == "torchvision"
    return space


def test_what_is_there_for_one_kind_alone_is_not_taken_by_itself(
    mostly_mobile: MixedSpace, picture_folder: Path
) -> None:
    data = f"folder:{picture_folder}"
    settings = replace(usual({}), data=data, init="auto", max_macs=9_000_000, evaluator="proxy")
    reporter = Saying()
    assert search_setup(settings, CPU, reporter, Own(mostly_mobile)).init == SCRATCH
    assert "init scratch: no published weights for networks of family t2t" in reporter.said
    alone = search_setup(settings, CPU, reporter, Own(mostly_mobile.members[0]))
    assert alone.init == TORCHVISION


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_asked_for_by_name_they_are_refused_in_a_line(
    library: str, mostly_mobile: MixedSpace, picture_folder: Path
) -> None:
    settings = replace(usual({}), data=f"folder:{picture_folder}", init=library, evaluator="proxy")
    with pytest.raises(InputError) as refused:
        search_setup(settings, CPU, Saying(), Own(mostly_mobile))
    assert str(refused.value) == (
        f"`init` {library}: no published weights for networks of family t2t; use `init` scratch"
    )


def test_kinds_whose_weights_are_of_two_libraries_begin_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = priced_space("mobilenetv2-32").smallest, priced_space("mobilenetv4-32").smallest
    libraries = {kinds[0]: ("torchvision", "there"), kinds[1]: ("timm", "there")}
    monkeypatch.setattr("evaluators.weight_sources.at_hand", libraries.__getitem__)
    reporter = Saying()
    assert first_weights("auto", kinds[0], reporter) == TORCHVISION
    assert first_weights("auto", kinds[0], reporter, kinds[1]) == SCRATCH
    assert reporter.said[-1].startswith(
        "init scratch: published weights of one kind of networks are of another library"
    )


def test_where_nothing_more_fits_nothing_is_counted() -> None:
    """Two bounds and attention by block: of a second block no option fits into what the first one leaves."""
    stage = StageOptions("inverted_residual", 1, (48,), (2,), (4,), (3,), (Attention("se", 4), Attention("ca", 32)))
    priced = PricedSpace(MobileSpace("x", (32,), 8, 2, (stage,), None, "relu6", "block"), 10)
    bounds = Budget(priced.cost(priced.cheapest("macs")).macs, priced.cost(priced.cheapest("params")).params)
    assert all(bounds.excess(priced.cost(one)) > 0 for one in priced.space.enumerate())
    with pytest.raises(InputError, match="no architecture of space x is within all of it; loosen one"):
        priced.within(bounds).count()
