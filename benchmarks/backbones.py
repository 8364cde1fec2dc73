"""The hand-designed networks side by side: stages, blocks, and costs as published, without attention and with CA.

    python -m benchmarks.backbones

At 224×224 and 1000 classes. CA is at a ratio of 32, in every block in which the network's own rule puts an attention.
"""

from search_space.cost.cost import Cost, measure
from search_space.hand_designed import BACKBONES, COMPARED_ATTENTIONS
from search_space.parts import NO_ATTENTION


def main() -> None:
    """Prints the table, in Markdown."""
    print("| backbone | stages | blocks | with CA | as published | without attention | CA in its place |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in BACKBONES:
        make = BACKBONES[name]
        attended = make(attention=COMPARED_ATTENTIONS["ca"])
        rows = make().stage_rows()
        blocks = [own for row in attended.stage_rows() for own in row.blocks]
        placed = sum(own not in (None, NO_ATTENTION) for own in blocks)
        costs = (measure(one) for one in (make(), make(attention=NO_ATTENTION), attended))
        print(f"| `{name}` | {len(rows)} | {len(blocks)} | {placed} | {' | '.join(map(_told, costs))} |")


def _told(cost: Cost) -> str:
    return f"{cost.params / 1e6:.2f}M, {cost.macs / 1e6:.1f}M"


if __name__ == "__main__":
    main()
