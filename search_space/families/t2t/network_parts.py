"""The parts of a T2T-ViT, each with the name of its module."""

from foundation.errors import InputError
from search_space.families.t2t.architecture import PATCH, T2TArchitecture
from search_space.families.t2t.token_blocks import TOKENS
from search_space.families.t2t.transformer import BlockPart, EmbeddingPart, NormPart
from search_space.head import Head, as_head
from search_space.parts import Part, Piece


def token_parts(architecture: T2TArchitecture) -> list[Piece]:
    """The steps before the embedding; of patches none. Raises InputError for unknown tokens."""
    if architecture.tokens == PATCH:
        return []
    make = TOKENS.get(architecture.tokens)
    width, (first, second, _) = architecture.token_width, architecture.token_strides
    return [make(3, width, architecture.kernel_size, first), make(width, width, 3, second)]


def embedding_part(architecture: T2TArchitecture) -> EmbeddingPart:
    """The last step."""
    return EmbeddingPart(
        architecture.token_width,
        architecture.width,
        architecture.kernels[-1],
        architecture.token_strides[-1],
        architecture.table_width,
    )


def norm_part(width: int, head: Head) -> NormPart:
    """A head that reads the mean alone is given the class token, another the grid."""
    return NormPart(width, of_grid=not head.averages)


def network_parts(architecture: T2TArchitecture, head: Head | int) -> list[tuple[str, Part]]:
    """The parts in order, each with the name of its module: tokens.0, tokens.1, embedding, layers.0, …, norm.

    Raises InputError for a head that reads finer maps.
    """
    head = as_head(head)
    if head.taps:
        raise InputError(f"networks of family {architecture.family} give a head no map but the last")
    named: list[tuple[str, Part]] = [(f"tokens.{i}", part) for i, part in enumerate(token_parts(architecture))]
    named.append(("embedding", embedding_part(architecture)))
    for index, block in enumerate(architecture.blocks):
        part = BlockPart(architecture.width, block.heads, architecture.head_width, block.expansion, block.attention)
        named.append((f"layers.{index}", part.telling(head.classes)))
    named.append(("norm", norm_part(architecture.width, head)))
    named.append(("classifier", head.part(architecture.width)))
    return named
