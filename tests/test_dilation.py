"""Late stages that are dilated instead of strided."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import search_space.dilation
from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space import backbones
from search_space.architecture import Architecture
from search_space.baselines import compared
from search_space.cost.cost import Budget, measure
from search_space.cost.priced_space import PricedSpace
from search_space.families.mixed.space import MixedSpace
from search_space.families.mobile.space import MobileSpace
from search_space.head import ClassifierHead
from search_space.network import build
from search_space.parts import NO_ATTENTION
from search_space.space import SearchSpace
from search_space.space_file import read_space
from search_space.spaces import named_space
from studies.runs.source import Source

PLAIN = {
    "mobilenetv2": backbones.mobilenetv2(attention=NO_ATTENTION),
    "mobilenext": backbones.mobilenext(attention=NO_ATTENTION),
    "efficientnet_b0": backbones.efficientnet_b0(attention=NO_ATTENTION),
}


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", PLAIN)
def test_every_other_pixel_of_a_dilated_map_is_the_strided_map(name: str, output_stride: int) -> None:
    # The definition of the algorithm "à trous" (arXiv:1706.05587, section 3.1): the same filters, more responses.
    plain = replace(PLAIN[name], resolution=96)
    dilated = replace(plain, output_stride=output_stride)
    torch.manual_seed(0)
    network = build(plain, 2).eval().double()
    spread = build(dilated, 2).eval().double()
    spread.load_state_dict(network.state_dict())
    step = 32 // output_stride
    images = torch.rand(1, 3, 96, 70, dtype=torch.float64)
    with torch.no_grad():
        coarse, fine = network.last_map(images), spread.last_map(images)
    assert fine.shape[2:] == (-(-96 // output_stride), -(-70 // output_stride))
    torch.testing.assert_close(fine[:, :, ::step, ::step], coarse)


def test_its_parameters_are_the_same_its_macs_are_not() -> None:
    plain = backbones.mobilenetv2(attention=NO_ATTENTION)
    costs = [measure(replace(plain, output_stride=stride), 10) for stride in (None, 16, 8)]
    assert len({cost.params for cost in costs}) == 1
    assert costs[0].macs < costs[1].macs < costs[2].macs


def test_what_it_costs_is_what_it_does() -> None:
    dilated = replace(backbones.mobilenetv2(), resolution=64, output_stride=16)
    with FlopCounterMode(display=False) as counter:
        build(dilated, 10).eval()(torch.zeros(1, 3, 64, 64))
    assert 2 * measure(dilated, 10).macs == counter.get_total_flops()


def test_its_maps_are_those_that_it_says() -> None:
    dilated = replace(backbones.mobilenetv2(), resolution=64, output_stride=8)
    network = build(dilated, 10)
    assert dilated.strides == (2, 4, 8) == tuple(feature.stride for feature in network.info)
    maps = network.features(torch.zeros(1, 3, 64, 64))
    assert [one.shape[-1] for one in maps] == [32, 16, 8]
    assert [row.stride for row in dilated.stage_rows()] == [1, 2, 2, 1, 1, 1, 1]
    assert [dict(row.numbers).get("dilation") for row in dilated.stage_rows()][3:] == [2, 2, 4, 4]


def test_an_architecture_without_it_is_written_as_ever() -> None:
    plain = backbones.mobilenetv2()
    assert "output_stride" not in plain.to_dict()
    dilated = replace(plain, output_stride=16)
    assert Architecture.from_json(dilated.to_json()) == dilated
    assert dilated.digest() != plain.digest()


@pytest.mark.parametrize("value", [0, 1, 12, 32, 64, "16", True])
def test_a_stride_that_no_map_has_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"output_stride: expected 2, 4, 8, 16 \(the network's own is 32\), got"):
        Architecture.from_dict({**backbones.mobilenetv2().to_dict(), "output_stride": value})


def _space(output_stride: int | None = 4) -> SearchSpace:
    return search_space.dilation.dilated(named_space("mobile-32"), output_stride).at(24, 32)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_table_prices_dilated_networks_exactly(seed: int) -> None:
    space = _space()
    architecture = PricedSpace(space, 5).sample(random.Random(seed))
    assert PricedSpace(space, 5).costs.cost(architecture) == measure(architecture, 5)


def test_shared_weights_are_the_networks_own() -> None:
    space = _space()
    store = WeightStore(space, ClassifierHead(5), own_kernels=True)
    architecture = PricedSpace(space, 5).sample(random.Random(3))
    images = torch.rand(2, 3, 32, 32)
    extracted = store.extract(architecture).train()
    assert torch.equal(store(architecture, images), extracted(images))


def test_a_space_of_a_file_may_ask_for_it(tmp_path: Path) -> None:
    text = Path("examples/spaces/camera.toml").read_text(encoding="utf-8")
    file = tmp_path / "dilated.toml"
    file.write_text(text.replace("resolution", "output_stride = 8\nresolution", 1))
    assert read_space(str(file)).widest(own_kernels=False)[0][1].strides[-1] == 8
    file.write_text(text.replace("resolution", "output_stride = 5\nresolution", 1))
    with pytest.raises(InputError, match=r"dilated.toml: line \d+: output_stride: expected .*, got 5"):
        read_space(str(file))
    space = _space(None)
    assert "output_stride" not in space.to_dict()
    assert SearchSpace.from_dict(_space().to_dict()) == _space()


def test_networks_to_compare_with_are_dilated_as_the_space_is() -> None:
    space = _space()
    found = PricedSpace(space, 5, budget=Budget(900_000)).sample(random.Random(0))
    networks = compared(found, space, Budget(900_000), ClassifierHead(5))
    assert len(networks) >= 3
    assert {network.strides for network in networks.values()} == {found.strides}


class _OtherFamily(MobileSpace):
    """Mobile networks under another family's name."""

    family = "other"


def _together() -> MixedSpace:
    mobile = named_space("mobile-32")
    other = _OtherFamily(**{**vars(named_space("mobilenetv2-32")), "name": "other-32"})
    assert isinstance(mobile, MobileSpace)
    return MixedSpace((mobile, other))


def test_spaces_that_are_searched_together_are_all_dilated() -> None:
    space = search_space.dilation.dilated(_together(), 2)
    assert space.name == "mobile-32,other-32"
    for number, one in enumerate(space.members):
        drawn = one.assemble(lambda name, options: options[0])
        assert drawn.strides[-1] == 2
        drawn = space.assemble(lambda name, options, number=number: options[number if name == "space" else 0])
        assert drawn.strides[-1] == 2
    assert search_space.dilation.dilated(space, None) is space


@pytest.mark.parametrize(
    ("space", "stride", "message"),
    [
        (
            named_space("mobilenetv2-32,t2t-32"),
            4,
            "`output_stride` 4: networks of family t2t, those of space t2t-32, have none; leave it out, or "
            "search without t2t-32",
        ),
        (
            _together(),
            3,
            "`output_stride` of space mobile-32: expected 2, 4 (the network's own is 8), got 3",
        ),
        (named_space("t2t-32"), 4, "`output_stride` 4: networks of family t2t have none; leave it out"),
    ],
)
def test_the_space_that_cannot_is_named(space: SearchSpace, stride: int, message: str) -> None:
    with pytest.raises(InputError) as refused:
        search_space.dilation.dilated(space, stride)
    assert str(refused.value) == message


def test_a_network_that_was_found_among_several_kinds_is_dilated_by_itself() -> None:
    """A retraining's, where its own family knows how."""
    space = named_space("mobilenetv2-32,t2t-32")
    mobile, transformer = (PricedSpace(one, 5).smallest for one in space.members)
    source = Source(mobile, "digits", Path("run"), PricedSpace(space, 5), None)
    found = source.dilated(2)
    assert found.architecture == replace(mobile, output_stride=2)
    assert found.priced is not None
    own, other = found.priced.space.members
    assert own == search_space.dilation.dilated(space.members[0], 2)
    assert other == space.members[1]
    with pytest.raises(InputError, match=r"networks of family t2t have none; leave it out$"):
        replace(source, architecture=transformer).dilated(2)
