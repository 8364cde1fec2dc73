"""IMPALA's encoder as a value (arXiv:1802.01561, figure 3, without its recurrent part).

Only the standard library is used here, so an architecture can be read, compared and printed without torch.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from search_space.architecture import ARCHITECTURES, Architecture, Row, check_resolution
from search_space.fields import check_fields, check_integer, check_list, check_tuple

MAX_STAGES, MAX_WIDTH = 6, 8192


@ARCHITECTURES.register("impala")
@dataclass(frozen=True)
class ImpalaArchitecture(Architecture):
    """Stages of a convolution, a pooling by 2 and two residual blocks each; then one linear layer on the whole map.

    Attributes:
        widths: channels of each stage; 16, 32 and 32 as published.
        features: channels of the linear layer; 256 as published.
    """

    resolution: int
    widths: tuple[int, ...]
    features: int

    family = "impala"

    def __post_init__(self) -> None:
        check_resolution(self.resolution)
        check_tuple("widths", self.widths, int, MAX_STAGES)
        for index, width in enumerate(self.widths):
            check_integer(f"widths[{index}]", width, 1, MAX_WIDTH)
        check_integer("features", self.features, 1, MAX_WIDTH)

    @property
    def strides(self) -> tuple[int, ...]:
        """See `Architecture.strides`."""
        return tuple(2 ** (index + 1) for index in range(len(self.widths)))

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, integers and strings."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "family": self.family, "widths": [*self.widths]}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The value that `to_dict` described. Raises InputError naming the field that is wrong."""
        fields = check_fields("", data, cls)
        return cls(widths=tuple(check_list("widths", fields.pop("widths"), MAX_STAGES)), **fields)

    def rows(self) -> tuple[Row, ...]:
        """The stages, and the linear layer."""
        found = [
            Row(f"{index + 1}", f"stages.{index}", "residual", width, 2, (None, None))
            for index, width in enumerate(self.widths)
        ]
        return (*found, Row("head", "dense", "linear", self.features, None, (None,), end=True))

    def decided(self, name: str) -> Any:
        """Nothing: no space has such networks."""
        return None

    @property
    def everywhere(self) -> str:
        """The activation."""
        return "relu"
