"""DeepLabV3's head, beside torchvision's."""

import copy
from typing import Any

import pytest
import torch
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space import backbones
from search_space.cost.cost import measure
from search_space.cost.priced_space import PricedSpace
from search_space.dilation import dilated
from search_space.head import read_head
from search_space.network import build
from search_space.spaces import named_space
from tasks.choice import task
from tasks.segmentation.deeplabv3 import DeepLabV3Head, rates_for
from training.data.scenes import CLASSES


def test_parameters_on_mobilenetv2() -> None:
    """3,302,165 of the head and 5,113,877 in all, at 21 classes and 320 channels: counted by hand."""
    cost = measure(backbones.mobilenetv2(), DeepLabV3Head(21))
    own = sum(tensor.numel() for tensor in DeepLabV3Head(21).part(320).create().parameters())
    assert (own, cost.params) == (3_302_165, 5_113_877)


def test_the_outputs_are_torchvisions() -> None:
    torch.manual_seed(0)
    ours = DeepLabV3Head(21, rates=(12, 24, 36)).part(40).create().eval()
    theirs = DeepLabHead(40, 21, (12, 24, 36)).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), copy.deepcopy(ours.state_dict()).values(), strict=True)))
    x = torch.randn(2, 40, 17, 13)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("stride", "side", "rates"),
    [
        (16, 33, (6, 12, 18)),  # arXiv:1706.05587, section 4
        (8, 65, (12, 24, 36)),
        (16, 19, (6, 12, 18)),
        (16, 18, (3, 6, 9)),  # a rate of 18 on a map of 18 pixels would see its own pixel alone
        (8, 12, (2, 4, 6)),
        (32, 1, (1, 1, 1)),
    ],
)
def test_rates(stride: int, side: int, rates: tuple[int, ...]) -> None:
    assert rates_for(stride, side) == rates


@pytest.mark.parametrize(("output_stride", "rates"), [(None, (3, 6, 9)), (16, (6, 12, 18)), (8, (12, 24, 36))])
def test_the_task_chooses_the_rates_by_the_networks_stride(output_stride: int | None, rates: tuple[int, ...]) -> None:
    architecture = dilated(backbones.mobilenetv2(resolution=513), output_stride)
    segmentation = task("segmentation:deeplabv3/32")
    head = segmentation.head(segmentation.data("scenes", 96, torch.device("cpu")).num_classes, architecture)
    assert head == DeepLabV3Head(len(CLASSES), 32, rates)
    assert read_head(head.to_dict()) == head


def test_shared_weights_and_costs() -> None:
    space = dilated(named_space("mobile-32"), 4)
    head = DeepLabV3Head(5, 8, (1, 2, 3))
    priced = PricedSpace(space, head)
    store = WeightStore(space, head)
    for architecture in (priced.smallest, priced.largest):
        extracted = store.extract(architecture).train()
        images = torch.rand(2, 3, 32, 32)
        assert torch.equal(store(architecture, images), extracted(images))
        assert extracted(images).shape == (2, 5, 8, 8)
        assert priced.cost(architecture) == measure(architecture, head)
        assert priced.cost(architecture).params == sum(p.numel() for p in build(architecture, head).parameters())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("segmentation:fancy", r"`head` fancy: unknown to task segmentation; known: conv, deeplabv3, ordnet"),
        ("segmentation:conv/0", r"`head` conv/0: width: expected an integer from 1 to 8192, got 0"),
        ("segmentation:conv/wide", "`head` conv/wide: expected a number of channels after conv/, got wide"),
        (
            "classification:conv",
            r"`head` conv: unknown to task classification; known: bottleneck",
        ),
    ],
)
def test_a_head_that_is_not_there_is_named(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        task(name)


@pytest.mark.parametrize("rates", [(1, 2), (0, 1, 2), [1, 2, 3], (1, 2, 9999)])
def test_rates_out_of_range(rates: Any) -> None:
    with pytest.raises(InputError, match="rates: expected 3 integers from 1 to 1024"):
        DeepLabV3Head(3, 8, rates)
