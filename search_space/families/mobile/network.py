"""The modules of a mobile network."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.blocks import Block
from search_space.families.mobile.network_parts import network_parts
from search_space.head import Head, as_head
from search_space.network import NETWORKS, TAPS, Create, FeatureMap, Network, fresh
from search_space.parts import Part

_STEM = "stem.activation"


@NETWORKS.register("mobile")
class MobileNetwork(Network):
    """An image classifier: N×3×H×W to N×num_classes logits, for any H and W."""

    family = "mobile"

    def __init__(self, architecture: MobileArchitecture, num_classes: Head | int, create: Create = fresh):
        super().__init__(architecture, num_classes)
        self.info = feature_maps(architecture)
        modules = {name: create(name, part) for name, part in network_parts(architecture, num_classes)}
        self.stem = modules.get("stem", nn.Identity())
        self.stages = nn.Sequential(
            *(
                nn.Sequential(*(modules[f"stages.{i}.{j}"] for j in range(stage.depth)))
                for i, stage in enumerate(architecture.stages)
            )
        )
        self.head = modules.get("head", nn.Identity())
        self.pooled = modules.get("pooled", nn.Identity())
        self._strides = tuple(pairwise(architecture.strides_along))
        if taps := as_head(num_classes).taps:
            self.taps = nn.ModuleDict({str(stride): modules[f"{TAPS}.{stride}"] for stride in taps})
        self.classifier = modules["classifier"]

    @classmethod
    def parts(cls, architecture: MobileArchitecture, head: Head | int) -> Sequence[tuple[str, Part]]:
        """Stem, stages.0.0, …, head, classifier."""
        return network_parts(architecture, head)

    def features(self, images: Tensor) -> list[Tensor]:
        """N×3×H×W to the maps that `info` describes."""
        wanted = {feature.module for feature in self.info}
        x = self.stem(images)
        found = [x] if _STEM in wanted else []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if f"stages.{index}" in wanted:
                found.append(x)
        return found

    def last_map(self, images: Tensor) -> Tensor:
        """N×3×H×W to the head's map, or to what the layer on its mean makes of it, N×pooled_width×1×1."""
        return self.after_mean(self.spatial_map(images))

    def spatial_map(self, images: Tensor) -> Tensor:
        """N×3×H×W to the head's map."""
        last: Tensor = self.head(self.stages(self.stem(images)))
        return last

    def after_mean(self, x: Tensor) -> Tensor:
        """The head's map, or what the layer on its mean makes of it."""
        last: Tensor = self.pooled(x)
        return last

    def tapped(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps after the expansion of the first block that leaves a coarser one, see `network_parts.tap_of`."""
        x = self.stem(images)
        finer = []
        for stage, (begun, ended) in zip(self.stages, self._strides, strict=True):
            assert isinstance(stage, nn.Sequential)
            if self.taps is not None and str(begun) in self.taps and ended != begun:
                first, *others = stage
                assert isinstance(first, Block)
                expanded, x = first.opened(x)
                finer.append(expanded)
                for block in others:
                    x = block(x)
            else:
                x = stage(x)
        return finer, self.pooled(self.head(x))

    def blocks(self) -> list[nn.Module]:
        """The blocks of all stages."""
        return [block for stage in self.stages for block in stage.children()]

    def branches(self) -> list[list[nn.Module]]:
        """Of each block with a skip the last module."""
        ends = []
        for block in self.blocks():
            assert isinstance(block, Block)
            *_, last = block.children()
            ends.append([last] if block.skip else [])
        return ends

    def stemmed(self, images: Tensor) -> Tensor:
        """The stem's map; without a stem the images."""
        features: Tensor = self.stem(images)
        return features


def feature_maps(architecture: MobileArchitecture) -> tuple[FeatureMap, ...]:
    """Of each size the last map, without the head's."""
    first, *after = architecture.strides_along
    found = {}
    if architecture.stem_width is not None:
        found[first] = FeatureMap(_STEM, architecture.stem_width, first)
    for index, (stage, stride) in enumerate(zip(architecture.stages, after, strict=True)):
        found[stride] = FeatureMap(f"stages.{index}", stage.width, stride)
    return tuple(found.values())
