"""Which attention a group of parts has, as decisions: a kind, then a ratio where the kind has one."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from search_space import attention as attention_ops
from search_space.architecture import Attention
from search_space.chain import Group
from search_space.decisions import Choose, decide


def choose_attention(choose: Choose, group: Group, offered: tuple[Attention, ...]) -> Attention:
    """The attention that `choose` decides for a group among those offered; of ratios that are twins the first is."""
    kind = decide(choose, f"{group.name}.attention", _kinds(offered))
    ratios = _distinct_ratios(offered, kind, group.channels)
    if not ratios:
        return Attention(kind)
    return Attention(kind, decide(choose, f"{group.name}.{kind}_reduction({','.join(map(str, ratios))})", ratios))


def first_alike(options: Iterable[Attention], wanted: Sequence[tuple[Attention, int]]) -> Attention | None:
    """Of the options the first that is the same op as each of the wanted at its channels; None if none is."""
    for offered in options:
        if all(
            attention_ops.structure(offered, channels) == attention_ops.structure(attention, channels)
            for attention, channels in wanted
        ):
            return offered
    return None


@lru_cache(maxsize=1024)
def _kinds(options: tuple[Attention, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(attention.kind for attention in options))


@lru_cache(maxsize=1 << 16)
def _distinct_ratios(options: tuple[Attention, ...], kind: str, channels: tuple[int, ...]) -> tuple[int, ...]:
    """The ratios offered for `kind` that differ in at least one block: of twins, the first."""
    first: dict[tuple[str, ...], int] = {}
    for attention in options:
        if attention.kind == kind and attention.reduction is not None:
            key = tuple(attention_ops.structure(attention, count) for count in channels)
            first.setdefault(key, attention.reduction)
    return tuple(first.values())
