"""The named spaces of mobile networks."""

from collections.abc import Sequence
from dataclasses import replace

from search_space.architecture import Attention
from search_space.families.mobile.around_mobilenetv3 import AROUND_MOBILENETV3, POOLED
from search_space.families.mobile.around_mobilenetv4 import AROUND_MOBILENETV4
from search_space.families.mobile.backbones import EFFICIENTNET_B0, MOBILENETV2, MOBILENEXT, PublishedStage
from search_space.families.mobile.mobilenetv4 import FUSED, UNIVERSAL
from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.parts import NO_ATTENTION
from search_space.spaces import CLASSES, SPACES

RESOLUTIONS = (128, 160, 192, 224, 256, 288)


def _every_attention(ratios: tuple[int, ...]) -> tuple[Attention, ...]:
    return (NO_ATTENTION, *(Attention(kind, ratio) for kind in ("se", "ca") for ratio in ratios))


def _around(
    rows: Sequence[PublishedStage], ratios: tuple[int, ...] = (8, 16, 24, 32), by: float = 0.25
) -> tuple[StageOptions, ...]:
    """Stages elastic around a backbone's rows: widths narrower and wider `by` a part, a block less and more."""
    stages = []
    for row in rows:
        widths = {max(8, int(row.width * factor) // 8 * 8) for factor in (1 - by, 1.0, 1 + by)}
        stages.append(
            StageOptions(
                block=row.block,
                stride=row.stride,
                width=tuple(sorted(widths)),
                depth=tuple(sorted({max(1, row.depth - 1), row.depth, row.depth + 1})),
                expansion=(3, 4, 6) if row.expansion > 2 else (1, 2, 3),
                kernel_size=(3, 5, 7),
                attention=_every_attention(ratios),
            )
        )
    return tuple(stages)


@SPACES.register("mobilenetv2")
def mobilenetv2() -> MobileSpace:
    """Around MobileNetV2 for ImageNet, which it holds with every attention that the CA paper compares."""
    return MobileSpace(
        name="mobilenetv2",
        resolution=RESOLUTIONS,
        stem_width=32,
        stem_stride=2,
        stages=_around(MOBILENETV2),
        head_width=1280,
        activation="relu6",
    )


@SPACES.register("mobilenext")
def mobilenext() -> MobileSpace:
    """Around MobileNeXt for ImageNet, which it holds with every attention that the CA paper compares."""
    return MobileSpace(
        name="mobilenext",
        resolution=RESOLUTIONS,
        stem_width=32,
        stem_stride=2,
        stages=_around(MOBILENEXT, by=0.2),  # by more, neighbouring stages could have the same width
        head_width=None,
        activation="relu6",
    )


@SPACES.register("efficientnet_b0")
def efficientnet_b0() -> MobileSpace:
    """Around EfficientNet-B0 for ImageNet, which it holds, with its own SE and with CA in SE's place."""
    return MobileSpace(
        name="efficientnet_b0",
        resolution=RESOLUTIONS,
        stem_width=32,
        stem_stride=2,
        stages=_around(EFFICIENTNET_B0, ratios=(4, 8, 16, 24, 32)),
        head_width=1280,
        activation="silu",
    )


@SPACES.register("mobilenetv3")
def mobilenetv3() -> MobileSpace:
    """Around MobileNetV3 for ImageNet: it holds Large and Small, with their own SE and with CA in SE's place."""
    return MobileSpace(
        name="mobilenetv3",
        resolution=RESOLUTIONS,
        stem_width=16,
        stem_stride=2,
        stages=AROUND_MOBILENETV3,
        head_width=None,
        activation="hardswish",
        pooled_width=POOLED,
    )


@SPACES.register("mobilenetv4")
def mobilenetv4() -> MobileSpace:
    """Around MobileNetV4 for ImageNet: it holds the convolutional Small, Medium and Large, with CA where there is room.

    In a universal inverted bottleneck attention stands after the depthwise convolution on the expanded channels, or
    without one after the expansion.
    """
    return MobileSpace(
        name="mobilenetv4",
        resolution=RESOLUTIONS,
        stem_width=None,
        stem_stride=1,
        stages=AROUND_MOBILENETV4,
        head_width=None,
        activation="relu",
        pooled_width=(1280,),
        pooled_norm=True,
    )


@SPACES.register("mobilenetv2-32")
def mobilenetv2_32() -> MobileSpace:
    """A small MobileNetV2 for 32×32 pictures.

    Its total stride of 4 leaves an 8×8 map, where attention still sees positions, and a view narrow enough that a
    shallow network of small kernels does not see from border to border without it.
    """
    return _for_32("mobilenetv2-32", (((8, 12), 2), ((12, 16), 1), ((16, 20), 1), ((20, 24), 1), ((24, 32), 1)))


@SPACES.register("mobile-32")
def mobile_32() -> MobileSpace:
    """Inverted residuals for 32×32 pictures: a stage on maps of 16, of 8 and of 4 pixels a side.

    Few stages that may be wide hold better networks than many that are narrow: those drawn from it at a budget
    of 1.2M MACs are better than those drawn from `mobilenetv2-32` (`python -m benchmarks.design_spaces`).
    """
    return _for_32("mobile-32", (((8, 12, 16), 1), ((12, 16, 20, 24), 2), ((24, 32, 40, 48), 2)))


@SPACES.register("mobilenetv4-32")
def mobilenetv4_32() -> MobileSpace:
    """MobileNetV4's blocks for 32×32 pictures: the stages of `mobile-32`, whose first may also be fused."""
    plain = mobile_32()
    first, *others = (
        replace(options, block=UNIVERSAL, kernel_size=(0, 3, 5), start_kernel_size=(0, 3, 5))
        for options in plain.stages
    )
    stages = (replace(first, block=(UNIVERSAL, FUSED)), *others)
    return replace(plain, name="mobilenetv4-32", stages=stages, activation="relu")


def _for_32(name: str, rows: Sequence[tuple[tuple[int, ...], int]]) -> MobileSpace:
    """A space of 32×32 pictures from its stages' widths and strides."""
    stages = tuple(
        StageOptions(
            block="inverted_residual",
            stride=stride,
            width=widths,
            depth=(1, 2),
            expansion=(2, 3, 4),
            kernel_size=(3, 5),
            attention=_every_attention((4, 8, 16)),
        )
        for widths, stride in rows
    )
    return MobileSpace(
        name=name,
        resolution=(32,),
        stem_width=8,
        stem_stride=2,
        stages=stages,
        head_width=128,
        activation="relu6",
    )


@SPACES.register("mobile-96")
def mobile_96() -> MobileSpace:
    """Inverted residuals for 96×96 pictures in which things have places: for segmentation and detection.

    Detection reads maps of an eighth and a sixteenth of a side. For segmentation the last stage is better dilated
    (`output_stride` 8). The second stage may be left out.
    """
    rows = (((12, 16), 2, (1, 2)), ((20, 24), 1, (0, 1, 2)), ((24, 32), 2, (1, 2)), ((40, 48), 2, (1, 2)))
    stages = tuple(
        StageOptions(
            block="inverted_residual",
            stride=stride,
            width=widths,
            depth=depths,
            expansion=(2, 3, 4),
            kernel_size=(3, 5),
            attention=_every_attention((4, 8, 16)),
        )
        for widths, stride, depths in rows
    )
    return MobileSpace(
        name="mobile-96",
        resolution=(96,),
        stem_width=8,
        stem_stride=2,
        stages=stages,
        head_width=None,
        activation="relu6",
    )


@SPACES.register("photos")
def photos() -> MobileSpace:
    """Within MobileNetV2 for photographs of 96 to 160 pixels: its widths or narrower, its depths or fewer.

    Nothing is wider or deeper than MobileNetV2 itself, so its published weights fill all of it.
    """
    stages = tuple(
        StageOptions(
            block=row.block,
            stride=row.stride,
            width=tuple(sorted({max(8, int(row.width * share) // 8 * 8) for share in (0.5, 0.75, 1.0)})),
            depth=tuple(sorted({max(1, row.depth - 1), row.depth})),
            expansion=(1,) if row.expansion == 1 else (3, 6),
            kernel_size=(3,) if row.expansion == 1 else (3, 5),
            attention=_every_attention((8, 16, 32)) if row.expansion > 1 else (NO_ATTENTION,),
        )
        for row in MOBILENETV2
    )
    return MobileSpace(
        name="photos",
        resolution=(96, 128, 160),
        stem_width=32,
        stem_stride=2,
        stages=stages,
        head_width=1280,
        activation="relu6",
    )


CLASSES["mobilenetv2-32"] = CLASSES["mobile-32"] = CLASSES["mobilenetv4-32"] = 10
