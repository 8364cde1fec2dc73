"""The search spaces of T2T-ViTs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, Self

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import Architecture, Attention
from search_space.chain import LinkProgram
from search_space.families.t2t.architecture import PATCH, STEPS, T2TArchitecture, TransformerBlock
from search_space.families.t2t.network_parts import norm_part
from search_space.families.t2t.programs import (
    BlockProgram,
    Embedded,
    EmbeddingProgram,
    Placed,
    Steps,
    StepsProgram,
    Strides,
)
from search_space.families.t2t.token_blocks import TOKENS
from search_space.families.t2t.transformer import (
    ACTIVATION,
    EmbeddingPart,
    MixPart,
    MlpPart,
    check_attention,
)
from search_space.head import Head
from search_space.parts import AttentionPart, Part, Piece
from search_space.space import SPACE_KINDS, SearchSpace, check_options, check_space_name

MOST_STATES = 4_000
MOST_SHAPES = 40_000
A_SECOND = 6_000
"""Pairs of a state and a link, of those before a block, that a core counts in a second."""

_LISTS = ("resolution", "tokens", "kernel_size", "token_width", "width", "depth", "heads", "expansion")


@SPACE_KINDS.register("t2t")
@dataclass(frozen=True)
class T2TSpace(SearchSpace):
    """Every T2T-ViT that `assemble` can return.

    All blocks have one width; each has heads, an expansion and an attention on the grid of its own. Heads are of one
    width, so their number costs MACs whatever the tokens' width. The sine table is as wide as the widest tokens, and is
    cut for the others.

    Attributes:
        tokens: kinds of token blocks, in the order of what they cost.

    Raises InputError, `field: problem`, for options that repeat, are out of range or name something unknown.
    """

    name: str
    resolution: tuple[int, ...]
    tokens: tuple[str, ...]
    kernel_size: tuple[int, ...]
    token_strides: tuple[Strides, ...]
    token_width: tuple[int, ...]
    width: tuple[int, ...]
    depth: tuple[int, ...]
    heads: tuple[int, ...]
    expansion: tuple[int, ...]
    attention: tuple[Attention, ...]
    head_width: int

    family = "t2t"
    start = 0
    stem_parts = ()

    def __post_init__(self) -> None:
        check_space_name(self.name)
        for name in (*_LISTS, "token_strides", "attention"):
            check_options(name, getattr(self, name))
        for kind in self.tokens:
            if not isinstance(kind, str) or kind not in TOKENS:
                raise InputError(f"tokens: {shown(kind)} is unknown; known: {TOKENS.known()}")
        for strides in self.token_strides:
            if not isinstance(strides, tuple) or len(strides) != STEPS or any(type(one) is not int for one in strides):
                raise InputError(f"token_strides: expected {STEPS} strides each, got {shown(strides)}")
        states = len({prod(strides) for strides in self.token_strides}) * len(self.width) * len(self.depth)
        shapes = len(self.tokens) * len(self.kernel_size) * len(self.token_strides) * len(self.token_width)
        if states > MOST_STATES or shapes > MOST_SHAPES or len(self.heads) * len(self.expansion) > MOST_STATES:
            raise InputError(
                f"width: {states} combinations of stride, width and depth, and {shapes} of tokens, are too many to "
                f"count; at most {MOST_STATES} and {MOST_SHAPES} are"
            )
        attended = len(self.attention) * max(len(self.heads) * len(self.expansion), len(self.width))
        if attended > MOST_STATES:
            raise InputError(
                f"attention: {len(self.attention)} attentions, for each width and each pair of heads and expansion, "
                f"are {attended} combinations, too many to count; offer fewer (at most {MOST_STATES} combinations)"
            )
        # An architecture checks its own fields: every option is tried in one.
        options = {name: getattr(self, name) for name in (*_LISTS, "token_strides")}
        first = {name: values[0] for name, values in options.items()}
        for name, values in options.items():
            for value in values:
                self._tried(name, {**first, name: value})
        for attention, width in product(self.attention, self.width):
            check_attention(attention, width)

    def _tried(self, name: str, fields: dict[str, Any]) -> None:
        depth, heads, expansion = (fields.pop(part) for part in ("depth", "heads", "expansion"))
        if type(depth) is not int or depth < 1:
            raise InputError(f"depth: expected integers from 1, got {shown(depth)}")
        block = TransformerBlock(heads, expansion, self.attention[0])
        T2TArchitecture(
            **fields,
            head_width=self.head_width,
            table_width=self.table_width if name != "width" else max(self.table_width, fields["width"]),
            blocks=(block,) * min(depth, 1000),
        )

    @property
    def table_width(self) -> int:
        """Of the sine table."""
        return max(self.width)

    @cached_property
    def programs(self) -> tuple[LinkProgram, ...]:
        """Of the tokens' steps, of the embedding, and of as many blocks as there may be."""
        steps = StepsProgram(self.tokens, self.kernel_size, self.token_strides, self.token_width)
        embedding = EmbeddingProgram(self.width, self.depth, self.table_width)
        blocks = (
            BlockProgram(number, self.heads, self.expansion, self.attention, self.head_width)
            for number in range(max(self.depth))
        )
        return (steps, embedding, *blocks)

    def tail_parts(self, state: tuple[int, int, int], head: Head) -> list[Part]:
        """The last norm, and the head."""
        return [norm_part(state[1], head), head.part(state[1])]

    def architecture(self, resolution: int, links: Sequence[Any]) -> T2TArchitecture:
        """The architecture of these links."""
        steps, embedded, *blocks = links
        return T2TArchitecture(
            resolution=resolution,
            tokens=steps.tokens,
            kernel_size=steps.kernel_size,
            token_strides=steps.strides,
            token_width=steps.width,
            width=embedded.width,
            head_width=self.head_width,
            table_width=self.table_width,
            blocks=tuple(link.block for link in blocks if link.block is not None),
        )

    def links(self, architecture: Architecture) -> Sequence[Any] | None:
        """The links; None where the width of heads or of the sine table is not the space's, or it is too deep."""
        if not isinstance(architecture, T2TArchitecture) or architecture.tokens == PATCH:
            return None
        fixed = all(getattr(architecture, name) == getattr(self, name) for name in ("head_width", "table_width"))
        deepest, depth = max(self.depth), architecture.depth
        if not fixed or depth > deepest:
            return None
        one = architecture
        stride = one.total_stride
        placed = [*one.blocks, *(None for _ in range(deepest - depth))]
        return (
            Steps(one.tokens, one.kernel_size, one.token_strides, one.token_width),
            Embedded(stride, one.width, depth),
            *(Placed(stride, one.width, max(0, depth - index), block) for index, block in enumerate(placed)),
        )

    def stored_pieces(self, head: Head, *, own_kernels: bool) -> Iterator[tuple[str, list[tuple[str, Piece]]]]:
        """See `search_space.space`: of each kind of tokens and each kernel its own, all else as wide as any."""
        channels, width = max(self.token_width), max(self.width)
        stride = self.token_strides[0][0]
        first: list[tuple[str, Piece]] = []
        second: list[tuple[str, Piece]] = []
        for kind in self.tokens:
            make = TOKENS.get(kind)
            first += [("", make(3, channels, size, stride)) for size in self.kernel_size]
            second.append(("", make(channels, channels, 3, stride)))
        yield "tokens.0", first
        yield "tokens.1", second
        yield "embedding", [("", EmbeddingPart(channels, width, 3, stride, self.table_width))]
        for number in range(max(self.depth)):
            pieces: list[tuple[str, Piece]] = [("mix", MixPart(width, max(self.heads), self.head_width))]
            pieces += [
                ("attention", AttentionPart(one, width, ACTIVATION, head.classes)) for one in self._largest_attentions
            ]
            yield f"layers.{number}", [*pieces, ("mlp", MlpPart(width, max(self.expansion)))]
        norm, classifier = self.tail_parts((0, width, 0), head)
        yield "norm", [*norm.pieces]
        yield "classifier", [*classifier.pieces]

    @cached_property
    def _largest_attentions(self) -> tuple[Attention, ...]:
        """Of each kind the one of most parameters: of the lowest ratio."""
        found: dict[str, Attention] = {}
        for attention in sorted(self.attention, key=lambda one: one.reduction or 0):
            found.setdefault(attention.kind, attention)
        return tuple(found.values())

    def widest(self, *, own_kernels: bool) -> list[tuple[str, T2TArchitecture]]:
        """The largest networks, as many as it takes to have every kind of tokens, first kernel and attention."""
        attentions = self._largest_attentions
        tokens = list(product(reversed(self.tokens), sorted(self.kernel_size, reverse=True)))
        found: list[tuple[str, T2TArchitecture]] = []
        for number in range(max(len(tokens), len(attentions))):
            kind, kernel_size = tokens[number % len(tokens)]
            attention = attentions[number % len(attentions)]
            block = TransformerBlock(max(self.heads), max(self.expansion), attention)
            architecture = T2TArchitecture(
                resolution=max(self.resolution),
                tokens=kind,
                kernel_size=kernel_size,
                token_strides=min(self.token_strides, key=prod),
                token_width=max(self.token_width),
                width=max(self.width),
                head_width=self.head_width,
                table_width=self.table_width,
                blocks=(block,) * max(self.depth),
            )
            found.append((f"{kind} {kernel_size}, {attention.label}", architecture))
        return found

    def counting_seconds(self) -> float:
        """About how long one core takes to count it."""
        strides = len({prod(strides) for strides in self.token_strides})
        states = strides * len(self.width) * len(self.depth) * max(self.depth)
        shapes = len(self.tokens) * len(self.kernel_size) * len(self.token_strides) * len(self.token_width)
        return (states * len(self.heads) * len(self.expansion) + shapes) * len(self.resolution) / A_SECOND

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, tuples and values: all that says which networks there are."""
        return {"family": self.family, **asdict(self)}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The space that `to_dict` described, lists for tuples."""
        fields = {**data, **{name: tuple(data[name]) for name in _LISTS}}
        fields["token_strides"] = tuple(tuple(strides) for strides in data["token_strides"])
        fields["attention"] = tuple(Attention(**attention) for attention in data["attention"])
        return cls(**fields)
