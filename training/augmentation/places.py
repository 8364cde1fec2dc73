"""What has a place in a picture, and moves as its pixels do: boxes, masks and points.

They are known by torchvision's own types, `tv_tensors.BoundingBoxes`, `Mask` and `KeyPoints`, wherever they are among
the targets: a mask for each picture of a batch, or any of them in a picture's dictionary. What is of no such type stays
as it is. Points stay points where they leave their picture; whether one is still in it, the task says.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from foundation.errors import InputError
from training.targets import Target, Targets, alike

LEAST = 1.0  # pixels of a box's sides and area, below which it has left the picture


def have_places(targets: Targets) -> bool:
    """Whether any target has a place in its picture."""
    if isinstance(targets, Tensor):
        return _has_place(targets)
    return any(_has_place(tensor) for target in targets for tensor in target.values())


def moved_places(targets: Targets, move: Callable[[int, Tensor], Tensor]) -> Targets:
    """The targets of N pictures whose pixels were moved.

    Args:
        move: gives where boxes (K×4), masks (…×H×W) or points (…×2) are now, from the number of the picture and where
            they were.
    """
    if isinstance(targets, Tensor):
        if not _has_place(targets) or not len(targets):
            return targets
        masks = [move(number, alike(mask, targets)) for number, mask in enumerate(targets.unbind())]
        return alike(torch.stack(masks), targets)
    return [
        {name: move(number, tensor) if _has_place(tensor) else tensor for name, tensor in target.items()}
        for number, target in enumerate(targets)
    ]


def still_there(targets: Targets) -> Targets:
    """Without the boxes that have left their pictures: less than a pixel of them is there.

    As in torchvision, their rows go from `labels` and from the masks of the same dictionary as well.
    """
    return targets if isinstance(targets, Tensor) else [_still_there(target) for target in targets]


def _still_there(target: Target) -> Target:
    from torchvision.transforms.v2 import functional as F
    from torchvision.tv_tensors import BoundingBoxes

    boxes = next((tensor for tensor in target.values() if isinstance(tensor, BoundingBoxes)), None)
    if boxes is None:
        return target
    _, kept = F.sanitize_bounding_boxes(boxes, min_size=LEAST, min_area=LEAST)
    if kept.all():
        return target
    along = {name for name, tensor in target.items() if name == "labels" or _has_place(tensor)}
    return {name: alike(tensor[kept], tensor) if name in along else tensor for name, tensor in target.items()}


def stretched(place: Tensor, columns: "Cut", rows: "Cut") -> Tensor:
    """Boxes, masks or points where each axis of the picture was moved by itself."""
    from torchvision.tv_tensors import KeyPoints, Mask, wrap

    if isinstance(place, Mask):
        numbers = [axis.pixels.to(place.device) for axis in (rows, columns)]
        return alike(place[..., numbers[0][:, None], numbers[1]], place)
    size = (len(rows.pixels), len(columns.pixels))
    if isinstance(place, KeyPoints):
        x, y = place.as_subclass(Tensor).unbind(-1)
        points: Tensor = wrap(torch.stack((columns.moved(x), rows.moved(y)), dim=-1), like=place, canvas_size=size)
        return points
    left, top, right, bottom = _corners(place).unbind(-1)
    (left, right), (top, bottom) = columns.span(left, right), rows.span(top, bottom)
    found: Tensor = wrap(
        _of_corners(torch.stack((left, top, right, bottom), dim=-1), place), like=place, canvas_size=size
    )
    return found


class Cut:
    """Where the pixels of a moved picture come from, along one axis: a crop of it, scaled, then mirrored.

    Args:
        start, extent: of the crop, in the picture's pixels; it may reach beyond the picture, whose edge is repeated.
        side: pixels of the picture.
        pixels: numbers of those of the picture that are the result's, in its order (int64).
    """

    def __init__(self, start: float, extent: float, side: int, pixels: Tensor, *, mirrored: bool = False):
        self.start, self.extent, self.side = start, extent, side
        self.pixels, self.mirrored = pixels, mirrored

    def span(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Where in the result begins and ends what went from `low` to `high` (K each)."""
        made = len(self.pixels)
        # What reaches the edge goes on as far as that is repeated.
        low = torch.where(low < 0.5, low.clamp(max=self.start), low)
        high = torch.where(high > self.side - 0.5, high.clamp(min=self.start + self.extent), high)
        low, high = self.moved(low), self.moved(high)
        if self.mirrored:
            low, high = high, low
        return low.clamp(0, made), high.clamp(0, made)

    def moved(self, points: Tensor) -> Tensor:
        """Where in the result points are, which may be outside of it."""
        made = len(self.pixels)
        found = (points - self.start) * (made / self.extent)
        return made - found if self.mirrored else found


def scaled(place: Tensor, size: tuple[int, int], made: tuple[int, int]) -> Tensor:
    """Boxes, masks or points of a picture of a size (height, width) that was made another."""

    def axis(side: int, wanted: int) -> Cut:
        middles = (torch.arange(wanted, device=place.device) + 0.5) * (side / wanted)
        return Cut(0, side, side, middles.long().clamp(max=side - 1))

    return stretched(place, axis(size[1], made[1]), axis(size[0], made[0]))


def _corners(boxes: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional as F

    found: Tensor = F.convert_bounding_box_format(boxes, new_format="XYXY").as_subclass(Tensor)
    return found.float()


def _of_corners(corners: Tensor, like: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional as F

    found: Tensor = F.convert_bounding_box_format(corners, old_format="XYXY", new_format=like.format)  # type: ignore[attr-defined]
    return found.to(like.dtype) if like.is_floating_point() else found.round().to(like.dtype)


def _has_place(tensor: Tensor) -> bool:
    """Raises InputError for what torchvision moves and this does not."""
    if type(tensor) is Tensor:
        return False
    from torchvision.tv_tensors import BoundingBoxes, KeyPoints, Mask, TVTensor, is_rotated_bounding_format

    rotated = isinstance(tensor, BoundingBoxes) and is_rotated_bounding_format(tensor.format)
    if isinstance(tensor, BoundingBoxes | KeyPoints | Mask) and not rotated:
        return True
    if isinstance(tensor, TVTensor):
        kind = "rotated BoundingBoxes" if rotated else type(tensor).__name__
        raise InputError(f"targets: {kind} cannot be moved with their pictures; give upright boxes, masks or points")
    return False
