"""Register an attention op of your own, and search a space of your own that has it beside CA and none.

python examples/registered_attention.py --out runs/brightness
"""

import argparse
from collections import Counter

from torch import Tensor, nn

import coordnas
from search_space import Attention, SearchSpace
from search_space.families.mobile.stage_options import StageOptions


@coordnas.register_attention("brightness")
class BrightnessAttention(nn.Module):
    """A gate for each channel from its own mean alone: two numbers a channel, and hardly any MACs."""

    def __init__(self, channels: int):
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(x.mean((2, 3), keepdim=True))  # N×C×1×1
        return x * gate.sigmoid()


@coordnas.register_space("brightness-32")
def brightness() -> SearchSpace:
    """Three stages for pictures of 32 pixels."""
    attention = (Attention("none"), Attention("ca", 8), Attention("brightness"))
    stages = tuple(
        StageOptions(
            block="inverted_residual",
            stride=2,
            width=(width, 2 * width),
            depth=(1, 2),
            expansion=(2, 3),
            kernel_size=(3, 5),
            attention=attention,
        )
        for width in (12, 16, 24)
    )
    return SearchSpace(
        name="brightness-32",
        resolution=(32,),
        stem_width=12,
        stem_stride=2,
        stages=stages,
        head_width=128,
        activation="relu6",
    )


def main(out: str, **settings: object) -> Counter[str]:
    """Searches on the handwritten digits, then counts the attention ops of the front's stages."""
    run = coordnas.search("brightness-32", "digits", folder=out, max_macs=500_000, **settings)
    kinds = Counter(stage.attention[0].kind for found in run.front for stage in found.architecture.stages)
    print(f"attention at the {kinds.total()} stages of the front's {len(run.front)} networks: {dict(kinds)}")
    return kinds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/brightness", help="the run's folder (default: runs/brightness)")
    parser.add_argument("--trials", type=int, default=60, help="candidates (default: 60)")
    parser.add_argument("--epochs", type=int, default=4, help="of the supernet (default: 4)")
    given = parser.parse_args()
    try:
        main(given.out, trials=given.trials, supernet_epochs=given.epochs)
    except coordnas.InputError as error:
        parser.exit(2, f"error: {error}\n")
    parser.exit()
