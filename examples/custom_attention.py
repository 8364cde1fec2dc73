"""Search with an attention op of one's own: how often does it stand in the networks of the front, beside CA and none?

    python examples/custom_attention.py --out runs/rows

Further flags are those of search.py, such as --trials 40 --supernet-epochs 2. It is the same as the command in
examples/row_attention.toml, with a count of the front's attention ops after it.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from commands import command_line, ending, search
from foundation.json_files import read_json
from search_space.architecture import Architecture

HERE = Path(__file__).parent


def main(arguments: Sequence[str]) -> None:
    """Searches, then counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/rows", help="the run's folder (default: runs/rows)")
    given, further = parser.parse_known_args(command_line.at_home(arguments))
    own = ["--plugin", str(HERE / "row_attention.py"), "--space", str(HERE / "row_attention.toml")]
    search.main([*own, "--max-macs", "600k", "--trials", "60", "--out", given.out, *further])

    front = read_json(Path(given.out) / "front.json")["front"]
    networks = [Architecture.from_dict(entry["architecture"]) for entry in front]
    kinds = Counter(stage.attention[0].kind for network in networks for stage in network.stages)
    print(f"attention at the {kinds.total()} stages of the front's {len(networks)} networks:")
    for kind, times in kinds.most_common():
        print(f"  {kind:6} {times}")


if __name__ == "__main__":
    sys.exit(ending.run(main, continues=True))
