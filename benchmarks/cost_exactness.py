"""The cost table against a direct count of the built network, for random architectures of every named space.

    python -m benchmarks.cost_exactness [--networks N] [--seed N] [--spaces A,B]

Every attention and ratio of the spaces and all their resolutions are drawn uniformly by decision. The
direct count runs the whole network on the meta device under torch's dispatch-level formulas; every 50th network is also
counted by torch's own FlopCounterMode, and 200 in all by fvcore. Elementwise work is compared too, of families whose
parts do all of it: of a transformer what leads tokens to the grid and back is no part's. A difference ends the run with
exit code 1.
"""

import argparse
import random
import sys
import time
import warnings
from collections import Counter as Tally

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.arms import some_of
from search_space.cost.cost import Cost, Counter
from search_space.families.t2t.architecture import T2TArchitecture
from search_space.network import Network, bare
from search_space.spaces import SPACES, priced_space

BY_FVCORE = 200


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spaces", type=some_of(tuple(SPACES)), default=tuple(SPACES), help="default: all of them")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    spaces = [priced_space(name) for name in arguments.spaces]
    counted: Tally[str] = Tally()
    attentions: Tally[str] = Tally()
    resolutions: Tally[int] = Tally()
    started = time.monotonic()
    for index in range(arguments.networks):
        priced = spaces[index % len(spaces)]
        architecture = priced.space.assemble(lambda name, options: rng.choice(options))
        with torch.device("meta"):
            network = bare(architecture, priced.num_classes).eval()
            x = torch.empty(1, 3, architecture.resolution, architecture.resolution)
        with torch.no_grad(), Counter() as counter:
            network(x)
        cost = priced.cost(architecture)
        direct = Cost(counter.macs, sum(parameter.numel() for parameter in network.parameters()), counter.elementwise)
        same = cost == direct and (
            architecture.family == T2TArchitecture.family or cost.elementwise == direct.elementwise
        )
        if index % 50 == 0:
            with torch.no_grad(), FlopCounterMode(display=False) as theirs:
                network(x)
            same &= cost.macs * 2 == theirs.get_total_flops()
            counted["torch's FlopCounterMode"] += 1
        if index % max(1, arguments.networks // BY_FVCORE) == 0 and counted["fvcore"] < BY_FVCORE:
            same &= cost.macs == _by_fvcore(bare(architecture, priced.num_classes).eval(), architecture.resolution)
            counted["fvcore"] += 1
        if not same:
            sys.exit(f"{priced.space.name}: {architecture.to_json()}: the table says {cost}, the direct count {direct}")
        counted[priced.space.name] += 1
        attentions.update(attention.label for row in architecture.stage_rows() for attention in row.attention)
        resolutions[architecture.resolution] += 1
        if index % 1000 == 999:
            print(f"{index + 1} networks, no difference, {time.monotonic() - started:.0f} s", flush=True)
    for name, count in counted.items():
        print(f"{name:24} {count:6} networks: MACs and parameters equal")
    print(f"resolutions {dict(sorted(resolutions.items()))}")
    print(f"attention of blocks {dict(sorted(attentions.items()))}")


def _by_fvcore(network: Network, resolution: int) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore uses what torch has deprecated
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(network, torch.empty(1, 3, resolution, resolution))
        counts = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
        return int(sum(counts[name] for name in ("conv", "linear", "matmul", "bmm", "einsum")))


if __name__ == "__main__":
    main()
