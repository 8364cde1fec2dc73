"""SSDLite's head, its default boxes, its loss and its choice of boxes, beside torchvision's."""

import copy
import random

import pytest
import torch
from torch import Tensor
from torchvision import ops
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space import backbones
from search_space.cost.cost import measure
from search_space.cost.encoding import encoding
from search_space.cost.priced_space import PricedSpace
from search_space.dilation import dilated
from search_space.head import read_head
from search_space.network import build
from search_space.spaces import named_space
from tasks.choice import task
from tasks.detection.default_boxes import default_boxes
from tasks.detection.room import Detection, things
from tasks.detection.ssdlite import SSDLiteHead


@pytest.fixture(scope="module")
def theirs() -> detection.ssd.SSD:
    """torchvision's SSDLite, freshly drawn, with 21 classes and the background."""
    torch.manual_seed(0)
    return detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=22).eval()


@pytest.mark.parametrize("sides", [(20, 10, 5, 3, 2, 1), (12, 6, 3), (2, 1)])
def test_default_boxes_are_torchvisions(sides: tuple[int, ...]) -> None:
    maps = [torch.zeros(1, 1, side, side + 1) for side in sides]
    high, wide = 320, 352
    generator = DefaultBoxGenerator([[2, 3] for _ in maps], min_ratio=0.2, max_ratio=0.95)
    (expected,) = generator(ImageList(torch.zeros(1, 3, high, wide), [(high, wide)]), maps)
    torch.testing.assert_close(default_boxes(maps) * torch.tensor([wide, high, wide, high]), expected)


def test_there_are_3234_of_320_pixels() -> None:
    assert len(default_boxes([torch.zeros(1, 1, side, side) for side in (20, 10, 5, 3, 2, 1)])) == 3234


def test_parameters_on_mobilenetv2() -> None:
    """With COCO's 80 classes 4,484,148: counted by hand, of which 576 channels of the finer map."""
    head = SSDLiteHead.after(80, None, (2, 4, 8, 16, 32), 320)
    assert head == SSDLiteHead(80, 16, 512, 4)
    assert measure(backbones.mobilenetv2(resolution=320), head).params == 4_484_148


def test_it_is_torchvisions_head(theirs: detection.ssd.SSD) -> None:
    head = SSDLiteHead(21, 16)
    tap, tail = head.taps[16](672).create(), head.part(480).create()
    predictors = [tap, *(module for name, module in tail.items() if name.startswith("predictor"))]  # type: ignore[operator]
    extras = [module for name, module in tail.items() if name.startswith("extra")]  # type: ignore[operator]
    pairs = list(zip(extras, theirs.backbone.extra, strict=True))  # type: ignore[union-attr, arg-type]
    for name, own in (("classes", theirs.head.classification_head), ("boxes", theirs.head.regression_head)):
        pairs += [(getattr(one, name), two) for one, two in zip(predictors, own.module_list, strict=True)]  # type: ignore[union-attr, arg-type]
    for ours, other in pairs:
        assert [tensor.shape for tensor in ours.state_dict().values()] == [
            tensor.shape for tensor in other.state_dict().values()
        ]
        ours.load_state_dict(dict(zip(ours.state_dict(), copy.deepcopy(other.state_dict()).values(), strict=True)))
        ours.eval()
        norms = [[(m.eps, m.momentum) for m in one.modules() if hasattr(m, "eps")] for one in (ours, other)]
        assert norms[0] == norms[1]
    finer, last = torch.randn(2, 672, 20, 20), torch.randn(2, 480, 10, 10)
    with torch.no_grad():
        found = tail(last, [tap(finer)])
        maps = [finer, last]
        for extra in theirs.backbone.extra:  # type: ignore[union-attr]
            maps.append(extra(maps[-1]))
        expected = theirs.head(maps)
    torch.testing.assert_close(found["classes"], expected["cls_logits"])
    torch.testing.assert_close(found["boxes"], expected["bbox_regression"])


def test_weights_are_drawn_as_torchvision_draws_them() -> None:
    torch.manual_seed(0)
    network = build(backbones.mobilenetv2(), SSDLiteHead(20, 16))
    for name, module in (("taps", network.taps), ("classifier", network.classifier)):
        for place, tensor in module.named_parameters():
            if tensor.ndim == 4 and tensor.numel() > 10_000:
                assert float(tensor.detach().std()) == pytest.approx(0.03, rel=0.05), (name, place)
    store = WeightStore(named_space("mobile-32"), SSDLiteHead(20, 4))
    assert float(store.tensors["classifier/extra1/0/0/weight"].detach().std()) == pytest.approx(0.03, rel=0.05)


def _outputs(classes: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.zeros(2, 1, side, side) for side in (10, 5, 3)]
    defaults = default_boxes(maps)
    return {
        "classes": 3 * torch.randn(2, len(defaults), classes + 1, generator=generator),
        "boxes": torch.randn(2, len(defaults), 4, generator=generator),
        "defaults": defaults.expand(2, -1, -1),
    }


def _targets(size: tuple[int, int] = (100, 120)) -> list[dict[str, Tensor]]:
    several = torch.tensor([[10.0, 20.0, 50.0, 60.0], [60.0, 5.0, 110.0, 95.0], [1.0, 1.0, 9.0, 7.0]])
    return [
        {
            "boxes": BoundingBoxes(boxes, format=BoundingBoxFormat.XYXY, canvas_size=size),
            "labels": torch.arange(len(boxes)),
        }
        for boxes in (several, torch.zeros(0, 4))
    ]


def test_loss_and_answers_are_torchvisions(theirs: detection.ssd.SSD) -> None:
    outputs, targets = _outputs(21), _targets()
    named = {"cls_logits": outputs["classes"], "bbox_regression": outputs["boxes"]}
    anchors = [own * torch.tensor([120.0, 100.0, 120.0, 100.0]) for own in outputs["defaults"]]
    wanted = [{"boxes": one["boxes"].as_subclass(Tensor), "labels": one["labels"] + 1} for one in targets]
    matched = [theirs.proposal_matcher(ops.box_iou(wanted[0]["boxes"], anchors[0]))]
    matched.append(torch.full((len(anchors[1]),), -1))
    losses = theirs.compute_loss(wanted, named, anchors, matched)
    torch.testing.assert_close(Detection().loss(outputs, targets), losses["bbox_regression"] + losses["classification"])
    assert int((matched[0] >= 0).sum()) >= 3  # each thing has a box of its own at least

    answers = Detection().answers(outputs, (100, 120))
    expected = theirs.postprocess_detections(named, anchors, [(100, 120)] * 2)
    for own, other in zip(things(answers), expected, strict=True):
        assert len(own["labels"]) == 300
        assert torch.equal(own["labels"] + 1, other["labels"])
        torch.testing.assert_close(own["boxes"], other["boxes"])
        torch.testing.assert_close(own["scores"], other["scores"])
    assert Detection().difference(outputs, answers, (100, 120)) == 0


def test_fewer_boxes_than_there_are_rows() -> None:
    outputs = _outputs(2)
    outputs["classes"][:, :, 1:] -= 100  # nothing but background
    outputs["classes"][1, 7] = torch.tensor([-5.0, 5.0, -5.0])
    answers = Detection().answers(outputs, (100, 120))
    nothing, one = things(answers)
    assert len(nothing["labels"]) == 0
    assert (one["labels"].tolist(), float(one["scores"])) == ([0], pytest.approx(1, abs=1e-3))
    assert (answers["labels"][0] == -1).all()
    assert Detection().fit(answers, (2, 3, 100, 120), 2)
    assert not Detection().fit(answers, (3, 3, 100, 120), 2)
    assert not Detection().fit(answers, (2, 3, 100, 120), 0)


def test_what_is_found_otherwise_is_seen() -> None:
    outputs = _outputs(3)
    answers = Detection().answers(outputs, (100, 120))
    for name, change in (("scores", 0.01), ("boxes", 6.0)):
        changed = {**answers, name: answers[name].clone()}
        changed[name][0, 0] += change
        assert Detection().difference(outputs, changed, (100, 120)) > 0.005


def test_the_loss_does_not_depend_on_the_pictures_size() -> None:
    targets, outputs = _targets(), _outputs(3)
    twice = [
        {**one, "boxes": BoundingBoxes(2 * one["boxes"], format=BoundingBoxFormat.XYXY, canvas_size=(200, 240))}
        for one in targets
    ]
    torch.testing.assert_close(Detection().loss(outputs, twice), Detection().loss(outputs, targets))


def test_a_batch_without_any_box_has_a_loss() -> None:
    outputs = {name: tensor[1:].requires_grad_() for name, tensor in _outputs(3).items()}
    loss = Detection().loss(outputs, _targets()[1:])
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("strides", "side", "expected"),
    [
        ((2, 4, 8, 16, 32), 320, SSDLiteHead(7, 16, 512, 4)),
        ((2, 4, 8), 96, SSDLiteHead(7, 4, 512, 4)),
        ((2, 4, 8, 16, 32), 128, SSDLiteHead(7, 16, 512, 2)),
        ((2, 4, 8, 16, 32), 33, SSDLiteHead(7, 16, 512, 1)),
    ],
)
def test_there_are_extra_maps_down_to_a_single_pixel(
    strides: tuple[int, ...], side: int, expected: SSDLiteHead
) -> None:
    head = SSDLiteHead.after(7, None, strides, side)
    assert head == expected
    assert read_head(head.to_dict()) == head


@pytest.mark.parametrize(
    ("strides", "side", "problem"),
    [
        ((32,), 320, "needs a map of half the stride of the last one, but the network's strides are 32; use another"),
        ((2, 4, 16), 320, "the network's strides are 2, 4, 16"),
        ((2, 4, 8, 16, 32), 32, "of pictures of 32 pixels the last map, of stride 32, is a single pixel; use larger"),
    ],
)
def test_maps_that_it_cannot_use(strides: tuple[int, ...], side: int, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        SSDLiteHead.after(7, None, strides, side)


@pytest.mark.parametrize("output_stride", [None, 4])
def test_shared_weights_and_costs(output_stride: int | None) -> None:
    space = dilated(named_space("mobile-32"), output_stride)
    strides = space.widest(own_kernels=False)[0][1].strides
    head = SSDLiteHead.after(5, 16, strides, 32)
    priced = PricedSpace(space, head)
    store = WeightStore(space, head, own_kernels=True)
    for architecture in (priced.smallest, priced.largest):
        extracted = store.extract(architecture).train()
        images = torch.rand(2, 3, 32, 32)
        own, other = store(architecture, images), extracted(images)
        assert all(torch.equal(own[name], other[name]) for name in other)  # type: ignore[index, call-overload]
        cost = priced.cost(architecture)
        assert cost == measure(architecture, head)
        assert cost.params == sum(p.numel() for p in build(architecture, head).parameters())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("detection:ssdlite/4", "`head` ssdlite/4: width: expected an integer from 8 to 8192, got 4"),
        ("detection:ssdlite/wide", "`head` ssdlite/wide: expected a number of channels after ssdlite/, got wide"),
    ],
)
def test_channels_out_of_range(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        task(name)


def test_samplers_know_the_costs_of_finer_maps() -> None:
    """Their encoding left out what leads a finer map to the head, so that proposals were over the budget."""
    head = SSDLiteHead(3, 8, 128, 3)
    priced = PricedSpace(named_space("mobile-96"), head)
    rng = random.Random(0)
    networks = [priced.sample(rng) for _ in range(8)]
    known = encoding(priced)
    costs = [measure(one, head) for one in networks]
    assert known.costs(known.encode(networks)).tolist() == [[cost.macs, cost.params] for cost in costs]
    links = priced.space.links(networks[0]) or ()
    assert any(priced.space.tap_parts(index, link, 8, head) for index, link in enumerate(links))
