"""What augmentation does to a batch of pictures of one size, on the device where they lie."""

import torch
from torch import Tensor

from training.augmentation.draws import Draws
from training.augmentation.recipe import Augmentation
from training.augmentation.rectangles import crop, erasure


def altered(images: Tensor, draws: Draws, augmentation: Augmentation) -> Tensor:
    """N×C×H×W pictures (uint8) shifted and altered as drawn; random-resized-crops are made before."""
    if draws.down is not None and draws.right is not None and draws.mirrored is not None:
        images = _shifted(images, *(drawn.to(images.device) for drawn in (draws.down, draws.right, draws.mirrored)))
    if draws.operations is not None and draws.signs is not None:
        from training.augmentation.rand_augment import rand_augment  # torchvision takes a second to import

        images = rand_augment(images, draws.operations, draws.signs, augmentation.rand_augment)
    return images


def resized_crops(images: Tensor, draws: Tensor, mirrored: Tensor) -> Tensor:
    """The random-resized-crop of each of N×C×H×W pictures (uint8), scaled to H×W again (bilinear) and mirrored.

    A crop is never larger than its picture, so nothing has to be smoothed before.

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
    return found.round_().to(torch.uint8)


def erase(images: Tensor, draws: Draws, probability: float) -> None:
    """Sets rectangles of normalised N×C×H×W pictures to zero, the mean colour, in place."""
    if draws.erased is None or draws.erasures is None:
        return
    height, width = images.shape[-2:]
    for index, (chance, rows) in enumerate(zip(draws.erased.tolist(), draws.erasures.tolist(), strict=True)):
        box = erasure(rows, width, height) if chance < probability else None
        if box is not None:
            images[index, :, box.top : box.top + box.height, box.left : box.left + box.width] = 0


def _shifted(images: Tensor, down: Tensor, right: Tensor, mirrored: Tensor) -> Tensor:
    """Each picture shifted (edges repeated) and mirrored as drawn for it."""
    count, _, height, width = images.shape
    device = images.device
    rows = (torch.arange(height, device=device) + down[:, None]).clamp(0, height - 1)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = torch.where(mirrored[:, None] == 1, columns.flip(1), columns)
    columns = (columns + right[:, None]).clamp(0, width - 1)
    batch = torch.arange(count, device=device)[:, None, None]
    # Advanced indices around a slice put the channels last.
    return images[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
