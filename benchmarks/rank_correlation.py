"""How well each evaluator ranks networks, held against training every network by itself.

    python -m benchmarks.rank_correlation [--data digits] [--equal N] [--across N] [--seeds N] [--folder F]

Prints the cost of one network first. A killed run goes on where it was; several processes may work in one folder.
"""

import argparse
from pathlib import Path

from benchmarks.standalone_truth import Plan, train
from training.progress import Reporter
from training.recipe import Recipe

RECIPE = Recipe(epochs=5, batch_size=64, learning_rate=0.4, weight_decay=2e-4)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="mobilenetv2-32")
    parser.add_argument("--equal", type=int, default=32, help="networks of equal MACs")
    parser.add_argument("--across", type=int, default=32, help="networks across the range of MACs")
    parser.add_argument("--equal-macs", type=int, default=1_000_000)
    parser.add_argument("--macs-range", type=int, nargs=2, default=(650_000, 1_600_000))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="default: runs/rank-DATA")
    arguments = parser.parse_args()
    plan = Plan(
        space=arguments.space,
        data=arguments.data,
        equal=arguments.equal,
        across=arguments.across,
        seeds=arguments.seeds,
        equal_macs=arguments.equal_macs,
        macs_range=tuple(arguments.macs_range),
        recipe=Recipe(**{**RECIPE.__dict__, "epochs": arguments.epochs}),
    )
    folder = arguments.folder or Path("runs") / f"rank-{arguments.data.replace(':', '-')}"
    truth = train(plan, folder / "trained", arguments.workers, Reporter())
    print(truth.test.mean(1))


if __name__ == "__main__":
    main()
