"""A supernet's training step against the same networks' own steps, side by side: seconds, ratio, peak memory.

    python -m benchmarks.supernet_step [--steps N] [--threads N]

Each step trains the same three architectures on the same batch twice: on views of the shared weights, and as ordinary
networks with weights of their own (made beforehand). Both include the losses and the clearing of gradients; the
optimiser's update is left out, since stand-alone networks would need three. The order alternates, and the ratio is
taken pair by pair.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from evaluators.supernet.sandwich import Sandwich, SupernetRecipe
from evaluators.supernet.store import WeightStore
from search_space.network import Network
from search_space.spaces import named_space
from training.data import load_data
from training.device import default_threads


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=default_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    space = named_space("mobilenetv2-32")
    data = load_data("digits", 32, torch.device("cpu"))
    store = WeightStore(space)
    sandwich = Sandwich(store, SupernetRecipe(random_networks=1, within_budget=False), seed=0)
    batches = [batch for epoch in range(-(-arguments.steps // 187)) for batch in data.train.batches(64, seed=epoch)]
    shared: list[float] = []
    alone: list[float] = []
    for step in range(-5, arguments.steps):  # the first five warm up
        images, labels = batches[step]
        networks = [
            store.extract(architecture).to(memory_format=torch.channels_last).train()
            for architecture in sandwich.architectures(step)
        ]

        pair: list[tuple[Callable[[], float], list[float]]] = [
            (partial(_shared, sandwich, images, labels, step), shared),
            (partial(_alone, networks, images, labels), alone),
        ]
        for run, seconds in pair if step % 2 else pair[::-1]:
            start = time.perf_counter()
            run()
            if step >= 0:
                seconds.append(time.perf_counter() - start)
    ratios = [one / other for one, other in zip(shared, alone, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    print(f"{len(ratios)} steps of 3 networks, batch 64, {arguments.threads} threads")
    print(f"supernet step         {1000 * statistics.median(shared):7.1f} ms (median)")
    print(f"stand-alone sum       {1000 * statistics.median(alone):7.1f} ms (median)")
    print(f"ratio, pair by pair   {statistics.median(ratios):7.3f} (median; quartiles {low:.3f} to {high:.3f})")
    print(f"peak memory           {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.0f} MiB, both together")


def _shared(sandwich: Sandwich, images: Tensor, labels: Tensor, step: int) -> float:
    sandwich.store.zero_grad()
    return sandwich(images, labels, step)


def _alone(networks: list[Network], images: Tensor, labels: Tensor) -> float:
    largest, *others = networks
    logits = largest(images)
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    target = logits.detach().softmax(1)
    for network in others:
        nn.functional.cross_entropy(network(images), target).backward()
    return loss.item()


if __name__ == "__main__":
    main()
