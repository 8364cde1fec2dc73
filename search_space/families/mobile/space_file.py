"""A space of mobile networks in a TOML file: a `[[stage]]` a row, its options in lists.

name = "narrow"
resolution = [96, 128]
activation = "relu6"
stem = { width = 16, stride = 2 }      # leave it out where the first stage sees the picture
head = { width = 640 }                 # leave it out for a network without a head convolution
pooled = { width = [1280], norm = true }  # a layer between the mean and the classifier; leave it out for none
attention_per = "block"                # each block has its own; leave it out for one a stage
output_stride = 8                      # later stages are dilated instead of strided; leave it out for networks as usual

[[stage]]
block = "inverted_residual"            # or several to choose from, in a list
stride = 2
width = [16, 24]                       # "kept" for a stage that keeps the width before it
depth = [1, 2]                         # [0, 1, 2]: the stage, of stride 1, may be left out
expansion = [3, 6]
kernel_size = [3, 5]
attention = ["none", "se/8", "ca/8", "ca/16"]
activation = "relu"                    # leave it out where it is the space's
start_kernel_size = [0, 3]             # of a universal_inverted_bottleneck; leave it out for none
"""

from typing import Any

from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.families.mobile.stage_program import ATTENTION_PER
from search_space.space_file import READERS, SpaceFile

_KEYS = {"name", "resolution", "activation", "stem", "head", "pooled", "attention_per", "output_stride", "stage"}
_FREE_KEYS = {"stem", "head", "pooled", "attention_per", "output_stride"}
_STAGE_KEYS = {"block", "stride", "width", "depth", "expansion", "kernel_size", "attention"}
_FREE_STAGE_KEYS = {"activation", "start_kernel_size"}
_TABLE_FIELDS = {
    "stem_width": "stem.width",
    "stem_stride": "stem.stride",
    "head_width": "head.width",
    "pooled_width": "pooled.width",
    "pooled_norm": "pooled.norm",
    "stages": "stage",
}
_KEPT = "kept"
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
    stem: dict[str, Any] = {"width": None, "stride": 1}
    if "stem" in content:
        stem = file.table(content, "stem", {"width", "stride"})
    head = file.table(content, "head", {"width"}) if "head" in content else {}
    pooled = file.table(content, "pooled", {"width", "norm"}) if "pooled" in content else {}
    pooled_width = file.integers(pooled, "width", "pooled") if pooled else ()
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
            pooled_width=pooled_width,
            pooled_norm=pooled.get("norm", False),
        ),
    )
    return space


def _stage(file: SpaceFile, stage: dict[str, Any], place: str) -> StageOptions:
    file.check_keys(stage, _STAGE_KEYS | _FREE_STAGE_KEYS, _STAGE_KEYS, place)
    kept = {"width"} if stage["width"] == _KEPT else set()
    lists: dict[str, Any] = {key: () if key in kept else file.integers(stage, key, place) for key in _LISTS}
    if "start_kernel_size" in stage:
        lists["start_kernel_size"] = file.integers(stage, "start_kernel_size", place)
    block = stage["block"]
    if isinstance(block, list):
        block = block[0] if len(block) == 1 else tuple(block)
    attention = file.attentions(stage, "attention", place)
    options: StageOptions = file.made(
        place,
        lambda: StageOptions(
            block=block,
            stride=stage["stride"],
            attention=attention,
            activation=stage.get("activation"),
            **lists,
        ),
    )
    return options
