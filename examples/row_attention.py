"""An attention op of one's own: a gate for each row of the map. `--plugin examples/row_attention.py` makes it known.

Half of coordinate attention (arXiv:2103.02907, section 3.2): where an object stands in height decides, where in width
does not. examples/row_attention.toml is a space that has it beside CA and none; examples/custom_attention.py searches.
"""

from torch import Tensor, nn

from search_space.attention import register


@register("rows")
class RowAttention(nn.Module):
    """The mean along each row, reduced to `max(4, C // reduction)` channels and expanded to a gate for each row."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        reduced = max(4, channels // reduction)
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.activation = nn.Hardswish()
        self.expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.mean(3, keepdim=True)  # N×C×H×1
        gate: Tensor = self.expand(self.activation(self.reduce(rows)))
        return x * gate.sigmoid()

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns: so the op can be put into a trained network."""
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)
        return 0.5
