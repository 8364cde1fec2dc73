"""The head of the task `pose`: a heat map for each joint."""

from dataclasses import dataclass

from search_space.head import HEADS
from search_space.parts import Part
from tasks.segmentation.heads import ConvHeadPart, DenseHead


@HEADS.register("heatmaps")
@dataclass(frozen=True)
class HeatmapHead(DenseHead):
    """A 3×3 convolution and a 1×1 convolution to the logits of each joint's place, on the last stage's map."""

    name = "heatmaps"

    def part(self, channels: int) -> Part:
        """See `tasks.segmentation.heads.ConvHeadPart`."""
        return ConvHeadPart(channels, self.width, self.num_classes)

    @property
    def told(self) -> str:
        """Name, channels and joints."""
        return f"{self.name} head of {self.width} channels, {self.num_classes} joints"
