"""From what a detector says at its default boxes to the boxes that it answers with."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

LEAST_SCORE, MOST_OVERLAP, MOST = 0.001, 0.55, 300
"""torchvision's for SSDLite: of a score, of two boxes' intersection over union, of candidates and of answers."""

WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""By which places and sizes are multiplied where they are learnt (torchvision's `BoxCoder` of SSD)."""

VERSION = 18  # of ONNX operators

MOST_GROWTH = 62.5
"""A box is at most so many times as wide as its default box."""


def chosen_boxes(classes: Tensor, boxes: Tensor, defaults: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
    """Of N pictures of a size (height, width) `boxes` N×300×4 in pixels, `labels` and `scores` N×300, the best first.

    Where a picture has fewer, labels are -1, scores and boxes 0. Of each class the 300 best scores above 0.001 are
    candidates; a box that overlaps a better one of its class by more than 0.55 is left out.

    Args:
        classes: logits N×A×(K+1), the background's first.
        boxes: N×A×4, how the default boxes are moved.
        defaults: N×A×4, shares of the picture.
    """
    scores = classes.softmax(2)[:, :, 1:].transpose(1, 2)  # N×K×A
    height, width = size
    scale = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    places = moved(defaults, boxes).clamp(0, 1) * scale
    # There may be fewer than 300 default boxes.
    lacking = scores.new_zeros(scores.shape[0], scores.shape[1], MOST)
    least = torch.cat((scores, lacking), 2).topk(MOST, 2).values[:, :, -1:]
    candidates = scores * ((scores >= least) & (scores > LEAST_SCORE))
    kept = without_overlapping(places, candidates).flatten(1)
    best, index = torch.cat((kept, lacking[:, 0]), 1).topk(MOST, 1)
    there = best > 0
    # A division by the number of boxes, which an exported file learns when it runs, cannot be exported.
    count, all_boxes = scores.shape[1:]
    rows = torch.arange(count, device=index.device)[:, None].expand(count, all_boxes).flatten()
    columns = torch.arange(all_boxes, device=index.device).expand(count, all_boxes).flatten()
    label, place = (nn.functional.pad(numbers, (0, MOST))[index] for numbers in (rows, columns))
    label, place = torch.where(there, label, -1), torch.where(there, place, 0)
    found = places.gather(1, place[:, :, None].expand(-1, -1, 4)) * there[:, :, None]
    return {"boxes": found, "labels": label, "scores": best}


def moved(defaults: Tensor, boxes: Tensor) -> Tensor:
    """Default boxes (…×4: left, top, right, bottom) as `boxes` (…×4) say that they are moved and stretched."""
    corner, end = defaults[..., :2], defaults[..., 2:]
    sides = end - corner
    shift = boxes[..., :2] / boxes.new_tensor(WEIGHTS[:2])
    growth = (boxes[..., 2:] / boxes.new_tensor(WEIGHTS[2:])).exp().clamp(max=MOST_GROWTH)
    middle = corner + sides / 2 + shift * sides
    half = growth * sides / 2
    return torch.cat((middle - half, middle + half), -1)


def without_overlapping(boxes: Tensor, scores: Tensor) -> Tensor:
    """The scores N×K×A of boxes N×A×4, 0 for those that overlap a better one of their class, or have a score of 0."""
    if torch.onnx.is_in_onnx_export():
        return _without_overlapping_in_onnx(boxes, scores)
    from torchvision.ops import batched_nms  # takes a second to import

    kept = torch.zeros_like(scores)
    for own, own_boxes, own_scores in zip(kept, boxes, scores, strict=True):
        label, place = (own_scores > 0).nonzero(as_tuple=True)
        left = batched_nms(own_boxes[place], own_scores[label, place], label, MOST_OVERLAP)
        own[label[left], place[left]] = own_scores[label[left], place[left]]
    return kept


def _without_overlapping_in_onnx(boxes: Tensor, scores: Tensor) -> Tensor:
    """The same by ONNX's operator, which takes all pictures and classes at once.

    How many boxes are left is known when it runs; torch's exporter has to be told some number, and told none later.
    """

    def operator(name: str, inputs: tuple[Tensor, ...], dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
        return torch.onnx.ops.symbolic(f"::{name}", inputs, dtype=dtype, shape=shape, version=VERSION)

    bounds = (torch.tensor([MOST]), torch.tensor([MOST_OVERLAP]), torch.tensor([LEAST_SCORE]))
    # Of each box that is left its picture, class and number.
    left = operator("NonMaxSuppression", (boxes, scores, *bounds), torch.int64, (1, 3))
    values = operator("GatherND", (scores, left), scores.dtype, (1,))
    return operator("ScatterND", (torch.zeros_like(scores), left, values), scores.dtype, scores.shape)
