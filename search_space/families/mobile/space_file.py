"""A space of mobile networks in a TOML file: a `[[stage]]` a row, its options in lists.

name = "narrow"
resolution = [96, 128]
activation = "relu6"
stem = { width = 16, stride = 2 }
head = { width = 640 }                 # leave it out for a network without a head convolution
attention_per = "block"                # each block has its own; leave it out for one a stage
output_stride = 8                      # later stages are dilated instead of strided; leave it out for networks as usual

[[stage]]
block = "inverted_residual"
stride = 2
width = [16, 24]
depth = [1, 2]                         # [0, 1, 2]: the stage, of stride 1, may be left out
expansion = [3, 6]
kernel_size = [3, 5]
attention = ["none", "se/8", "ca/8", "ca/16"]
"""

from typing import Any

from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.families.mobile.stage_program import ATTENTION_PER
from search_space.space_file import READERS, SpaceFile

_KEYS = {"name", "resolution", "activation", "stem", "head", "attention_per", "output_stride", "stage"}
_FREE_KEYS = {"head", "attention_per", "output_stride"}
_STAGE_KEYS = {"block", "stride", "width", "depth", "expansion", "kernel_size", "attention"}
_TABLE_FIELDS = {
    "stem_width": "stem.width",
    "stem_stride": "stem.stride",
    "head_width": "head.width",
    "stages": "stage",
}
_LISTS = ("width", "depth", "expansion", "kernel_size")


@READERS.register("mobile")
def read(file: SpaceFile) -> MobileSpace:
    """The space in the file. Raises InputError naming the file, the line and the key that is wrong."""
    content = file.content
    file.fields = _TABLE_FIELDS
    file.check_keys(content, _KEYS, _KEYS - _FREE_KEYS, "")
    stages = content["stage"]
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise file.error("stage", "expected [[stage]] tables")
    stem = file.table(content, "stem", {"width", "stride"})
    head = file.table(content, "head", {"width"}) if "head" in content else {}
    options = tuple(_stage(file, stage, f"stage[{index}]") for index, stage in enumerate(stages))
    name = file.name()
    resolution = file.integers(content, "resolution", "")
    space: MobileSpace = file.made(
        "",
        lambda: MobileSpace(
            name=name,
            resolution=resolution,
            stem_width=stem["width"],
            stem_stride=stem["stride"],
            stages=options,
            head_width=head.get("width"),
            activation=content["activation"],
            attention_per=content.get("attention_per", ATTENTION_PER[0]),
            output_stride=content.get("output_stride"),
        ),
    )
    return space


def _stage(file: SpaceFile, stage: dict[str, Any], place: str) -> StageOptions:
    file.check_keys(stage, _STAGE_KEYS, _STAGE_KEYS, place)
    lists: dict[str, Any] = {key: file.integers(stage, key, place) for key in _LISTS}
    attention = file.attentions(stage, "attention", place)
    options: StageOptions = file.made(
        place, lambda: StageOptions(block=stage["block"], stride=stage["stride"], attention=attention, **lists)
    )
    return options
