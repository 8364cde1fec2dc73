"""The latency table's error: what it predicts of whole networks against what they take.

    python -m benchmarks.latency [--space mobilenetv2 --resolution 224] [--runtimes eager,onnxruntime] [--folder DIR]

For each runtime the table is measured (in the folder, where a killed run goes on), then random networks of the space
that the table has not seen. They are measured twice over, in turns: what the two differ by is what no prediction can be
better than on this machine at this time.
"""

import argparse
import importlib.util
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import scipy.stats
import torch

from deployment.choices import ROUNDS
from deployment.latency import measure_table, network_calls, quickest
from deployment.runtimes import Runtime
from foundation.amounts import milliseconds
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.cost.cost import measure
from search_space.spaces import priced_space


def main() -> None:
    """Prints a line for each way to predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mobilenetv2-32")
    parser.add_argument("--resolution", type=int, help="one of the space's (default: all of them)")
    parser.add_argument("--runtimes", default="eager,onnxruntime")
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/latency"))
    arguments = parser.parse_args()
    priced = priced_space(arguments.space)
    if arguments.resolution:
        priced = replace(priced, space=priced.space.at(arguments.resolution))
    space = priced.space
    arguments.folder.mkdir(parents=True, exist_ok=True)
    reporter = Reporter()
    rng = random.Random(derive("latency benchmark"))
    networks = [priced.sample(rng) for _ in range(arguments.networks)]
    for name in arguments.runtimes.split(","):
        if name == "onnxruntime" and importlib.util.find_spec("onnxruntime") is None:
            print("onnxruntime is not installed: left out")
            continue
        runtime = Runtime(name, arguments.threads, torch.device("cpu"))
        path = arguments.folder / f"{space.name}-{'-'.join(map(str, space.resolution))}-{name}.json"
        table = measure_table(priced, runtime, path, reporter, arguments.rounds)
        calls = network_calls(networks, priced.num_classes, runtime, reporter)
        first, second = (quickest(calls, runtime, arguments.rounds) for _ in range(2))
        taken = [min(pair) for pair in zip(first, second, strict=True)]
        print(f"{space.name}, {len(networks)} networks, {table}")
        print(f"  they take {milliseconds(min(taken))} to {milliseconds(max(taken))}")
        print(f"  scale {table.scale:.3f}, constant {milliseconds(table.constant_ns)}, call {table.call_ns} ns")
        plain = replace(table, scale=1.0, constant_ns=0)
        for way, known in (("table", table), ("sum of pieces, unscaled", plain)):
            _report(way, [measure(network, priced.num_classes, known).latency_ns for network in networks], taken)
        macs = [measure(network, priced.num_classes).macs for network in networks]
        per_mac = statistics.median(t / m for t, m in zip(taken, macs, strict=True))
        _report("by MACs alone", [per_mac * count for count in macs], taken)
        _report("measured again", second, first)


def _report(way: str, predicted: Sequence[float], taken: Sequence[float]) -> None:
    """Mean absolute percentage error, bias and rank correlation of a way to predict."""
    errors = [(p - t) / t for p, t in zip(predicted, taken, strict=True)]
    mape, bias = statistics.mean(map(abs, errors)), statistics.mean(errors)
    rank = scipy.stats.spearmanr(predicted, taken).statistic
    print(f"  {way:24} MAPE {100 * mape:6.2f} %   bias {100 * bias:+7.2f} %   Spearman {rank:.3f}")


if __name__ == "__main__":
    main()
