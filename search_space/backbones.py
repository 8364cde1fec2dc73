"""The hand-designed networks by the names that programs know them by; each stands in its family's room."""

from search_space.families.mobile.backbones import (
    efficientnet_b0,
    mobilenetv2,
    mobilenetv3_large,
    mobilenetv3_small,
    mobilenetv4_conv_large,
    mobilenetv4_conv_medium,
    mobilenetv4_conv_small,
    mobilenext,
)
from search_space.family import load_all
from search_space.hand_designed import BACKBONES, COMPARED_ATTENTIONS, HandDesigned, hand_designed

__all__ = [
    "BACKBONES",
    "COMPARED_ATTENTIONS",
    "HandDesigned",
    "efficientnet_b0",
    "hand_designed",
    "mobilenetv2",
    "mobilenetv3_large",
    "mobilenetv3_small",
    "mobilenetv4_conv_large",
    "mobilenetv4_conv_medium",
    "mobilenetv4_conv_small",
    "mobilenext",
]

load_all("backbones")
