"""A space's counting is estimated before it begins, and refused where it would take very long."""

from dataclasses import replace

import pytest

from search_space import Attention, InputError
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.counting_work import A_SECOND, counting_seconds, counting_work
from search_space.families.mobile.stage_options import StageOptions
from search_space.space import MOST_OPTIONS, SearchSpace
from search_space.spaces import SPACES, named_space

RATIOS = tuple(Attention("ca", ratio) for ratio in range(1, 1025)) + tuple(Attention("se", r) for r in range(1, 1025))


def _stage(widths: int, depths: int, expansions: int = 1, kernels: int = 1, attentions: int = 1) -> StageOptions:
    return StageOptions(
        block="inverted_residual",
        stride=1,
        width=tuple(range(8, 8 + widths)),
        depth=tuple(range(1, 1 + depths)),
        expansion=tuple(range(1, 1 + expansions)),
        kernel_size=(3, 5, 7)[:kernels],
        attention=(Attention("none"), *RATIOS)[:attentions],
    )


def _space(*stages: StageOptions, resolutions: int = 1) -> SearchSpace:
    return SearchSpace("large", tuple(range(32, 32 + resolutions)), 8, 1, stages, None, "relu")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        # silent for more than 40 seconds, and for more than 25 minutes, before there was an estimate
        ([_stage(499, 4, 6, 3)] * 2, r"^stages\[1\]: 499 widths × 499 widths before it × 4 depths × 6 expansions × 3 "),
        (
            [_stage(392, 32, attentions=2049)],
            r"^stages\[0\]: 392 widths × 32 depths × 2049 attentions would take about",
        ),
        ([_stage(1000, 1)] * 2, r"would take about \d+ minutes to count; offer fewer"),
        ([_stage(4000, 32, 16, 3, 2049)] * 8, r"^stages\[0\]: .* would take about [\d,]+ (hours|days) to count"),
    ],
)
def test_what_would_take_very_long_is_refused(stages: list[StageOptions], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _space(*stages)


def test_a_description_is_refused_as_well() -> None:
    described = _space(_stage(8, 2)).to_dict()
    described["stages"][0]["width"] = list(range(8, 500))
    described["stages"] *= 3
    with pytest.raises(InputError, match="to count; offer fewer"):
        SearchSpace.from_dict(described)


@pytest.mark.parametrize("name", SPACES)
def test_the_named_spaces_are_counted_in_seconds(name: str) -> None:
    space = named_space(name)
    assert space.counting_seconds() < 5


def test_everything_that_is_offered_counts() -> None:
    stages = [_stage(4, 2, 2, 2, 4), _stage(4, 2, 2, 2, 4)]
    least = counting_work(stages, 1)
    assert counting_work(stages, 2) > least
    for field, values in (
        ("width", tuple(range(8, 13))),
        ("depth", (1, 3)),
        ("expansion", (1, 2, 3)),
        ("kernel_size", (3, 5, 7)),
        ("attention", RATIOS[:5]),
    ):
        for place in range(2):
            more = list(stages)
            more[place] = replace(more[place], **{field: values})  # type: ignore[arg-type]
            assert counting_work(more, 1) > least, (field, place)


def test_it_is_no_less_than_the_shapes_that_are_made() -> None:
    """The estimate's first term is the number of shapes; the rest is measured, in seconds of this machine's kind."""
    space = _space(_stage(5, 3, 2, 2), _stage(6, 2, 3, 1))
    made = sum(len(outcomes.shapes) for by_width in PricedSpace(space).costs.outcomes for outcomes in by_width.values())
    assert made <= counting_work(space.stages, 1)
    assert counting_seconds(space.stages, 1) == counting_work(space.stages, 1) / A_SECOND


def test_a_dimension_has_so_many_options_at_most() -> None:
    with pytest.raises(InputError, match=rf"^width: {MOST_OPTIONS + 1} options; at most {MOST_OPTIONS} are read"):
        _stage(MOST_OPTIONS + 1, 1)
