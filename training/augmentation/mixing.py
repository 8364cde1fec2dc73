"""Training pictures mixed with each other, on the device, a whole batch at a time."""

import torch
from torch import Tensor, nn

from training.targets import Batch, Targets


class Mixing:
    """MixUp and CutMix, of which each call draws one; draws are from torch's global random state.

    Args:
        mixup, cutmix: α of the beta distribution (arXiv:1710.09412, arXiv:1905.04899); 0 for none.
    """

    def __init__(self, mixup: float, cutmix: float, num_classes: int):
        self.ways: list[nn.Module] = []
        if mixup or cutmix:
            from torchvision.transforms import v2  # takes a second, and few trainings mix
        if mixup:
            self.ways.append(v2.MixUp(alpha=mixup, num_classes=num_classes))
        if cutmix:
            self.ways.append(v2.CutMix(alpha=cutmix, num_classes=num_classes))

    def __call__(self, images: Tensor, targets: Targets) -> Batch:
        """N×3×H×W and labels (N) to mixed images and N×classes shares; as they are, if there is nothing to mix."""
        if not self.ways:
            return images, targets
        way = self.ways[int(torch.randint(len(self.ways), ()))]
        mixed, shares = way(images, targets)
        return mixed.contiguous(memory_format=torch.channels_last), shares
