"""What augmentation does to a batch of pictures of one size, on the device where they lie, and to their targets."""

import torch
from torch import Tensor

from training.augmentation.colour import distort
from training.augmentation.draws import Draws
from training.augmentation.places import Cut, have_places, moved_places, still_there, stretched
from training.augmentation.recipe import Augmentation
from training.augmentation.rectangles import crop, erasure
from training.targets import Batch, Targets


def altered(images: Tensor, targets: Targets, draws: Draws, augmentation: Augmentation) -> Batch:
    """N×C×H×W pictures (uint8) shifted and altered as drawn; random-resized-crops are made before.

    What of the targets has a place moves along, and what has left its picture is left out.
    """
    if draws.down is not None and draws.right is not None and draws.mirrored is not None:
        images, targets = _shifted(images, targets, draws.down, draws.right, draws.mirrored)
    if draws.operations is not None and draws.signs is not None:
        from training.augmentation.rand_augment import rand_augment  # torchvision takes a second to import

        images, targets = rand_augment(images, targets, draws.operations, draws.signs, augmentation.rand_augment)
    if draws.colours is not None:
        images = distort(images, draws.colours, augmentation.colour)
    are_moved = draws.mirrored is not None or draws.operations is not None
    return images, still_there(targets) if are_moved and have_places(targets) else targets


def resized_crops(images: Tensor, targets: Targets, draws: Tensor, mirrored: Tensor) -> Batch:
    """The random-resized-crop of each of N×C×H×W pictures (uint8), scaled to H×W again (bilinear) and mirrored.

    A crop is never larger than its picture, so nothing has to be smoothed before. What of the targets has a place
    moves along.

    Args:
        draws: N×attempts×4 on the CPU, see `training.augmentation.rectangles.crop`.
        mirrored: 1 for a mirrored picture (N).
    """
    _, _, height, width = images.shape
    boxes = torch.tensor([crop(row, width, height) for row in draws.tolist()], dtype=torch.float32)
    left, top, inner_width, inner_height = boxes.to(images.device)[:, :, None].unbind(1)  # N×1 each

    def positions(start: Tensor, extent: Tensor, side: int) -> Tensor:
        """N×side pixels of the picture, in -1 to 1; not beyond the crop's own."""
        steps = torch.arange(side, device=images.device)
        pixels = (start + (steps + 0.5) * extent / side - 0.5).maximum(start).minimum(start + extent - 1)
        return 2 * pixels / max(1, side - 1) - 1

    columns, rows = positions(left, inner_width, width), positions(top, inner_height, height)
    columns = torch.where(mirrored.to(images.device)[:, None] == 1, columns.flip(1), columns)
    grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=-1)
    found = torch.nn.functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=True)
    if have_places(targets):
        across, along = (((at + 1) / 2 * (side - 1)).round().long() for at, side in ((columns, width), (rows, height)))

        def cropped(number: int, place: Tensor) -> Tensor:
            x, y, inner_x, inner_y = boxes[number].tolist()
            horizontal = Cut(x, inner_x, width, across[number], mirrored=bool(mirrored[number]))
            return stretched(place, horizontal, Cut(y, inner_y, height, along[number]))

        targets = moved_places(targets, cropped)
    return found.round_().to(torch.uint8), targets


def erase(images: Tensor, draws: Draws, probability: float) -> None:
    """Sets rectangles of normalised N×C×H×W pictures to zero, the mean colour, in place."""
    if draws.erased is None or draws.erasures is None:
        return
    height, width = images.shape[-2:]
    for index, (chance, rows) in enumerate(zip(draws.erased.tolist(), draws.erasures.tolist(), strict=True)):
        box = erasure(rows, width, height) if chance < probability else None
        if box is not None:
            images[index, :, box.top : box.top + box.height, box.left : box.left + box.width] = 0


def _shifted(images: Tensor, targets: Targets, down: Tensor, right: Tensor, mirrored: Tensor) -> Batch:
    """Each picture shifted (edges repeated) and mirrored as drawn for it, and what has a place in it."""
    count, _, height, width = images.shape
    device = images.device
    rows = (torch.arange(height, device=device) + down.to(device)[:, None]).clamp(0, height - 1)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = torch.where(mirrored.to(device)[:, None] == 1, columns.flip(1), columns)
    columns = (columns + right.to(device)[:, None]).clamp(0, width - 1)
    batch = torch.arange(count, device=device)[:, None, None]
    # Advanced indices around a slice put the channels last.
    images = images[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if have_places(targets):

        def moved(number: int, place: Tensor) -> Tensor:
            across = Cut(int(right[number]), width, width, columns[number], mirrored=bool(mirrored[number]))
            return stretched(place, across, Cut(int(down[number]), height, height, rows[number]))

        targets = moved_places(targets, moved)
    return images, targets
