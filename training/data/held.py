"""Pictures that are held in memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from training.augmentation.alterations import resized_crops
from training.data.pictures import Pictures
from training.data.split import Planned, Split
from training.targets import Targets, moved, picked

SHARE_OF_GPU = 0.3  # of its free memory, that a split's pictures may take


class HeldSplit(Split):
    """Pictures on the device where they fit beside a training; else on the host, and a batch of bytes moves at a time.

    Args:
        mean, std: of each of the pictures' channels (one or three), in 0 to 1.
    """

    def __init__(self, pictures: Pictures, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device):
        super().__init__(mean, std, (pictures.images.shape[-2], pictures.images.shape[-1]), device)
        place = device if _fits(pictures.images.nbytes, device) else torch.device("cpu")
        self.images = pictures.images.to(place)
        self.targets = moved(pictures.targets, lambda tensor: tensor.to(place))
        self.sources = pictures.sources

    def subset(self, chosen: Tensor) -> "HeldSplit":
        """The pictures of these numbers (int64), in this order."""
        sources = self.sources[chosen] if self.sources is not None else None
        index = chosen.to(self.images.device)
        pictures = Pictures(self.images[index], picked(self.targets, chosen), sources)
        return HeldSplit(pictures, self.mean, self.std, self.device)

    def _delivered(self, plans: Iterator[Planned]) -> Iterator[tuple[Planned, Tensor, Targets]]:
        for planned in plans:
            index = planned.index.to(self.images.device)
            images, targets = self._moved(self.images[index]), moved(picked(self.targets, planned.index), self._moved)
            if planned.draws.crops is not None and planned.draws.mirrored is not None:
                images, targets = resized_crops(images, targets, planned.draws.crops, planned.draws.mirrored)
            yield planned, images, targets


def _fits(nbytes: int, device: torch.device) -> bool:
    """Whether so many bytes may lie on the device for good; a GPU's memory is a training's before it is the data's."""
    return device.type != "cuda" or nbytes <= SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]
