"""One training by many processes: `torchrun` starts them, each trains on its share of every batch.

Every rank takes the same step on the same networks with its own pictures. After the last backward pass of a step the
gradients are averaged in one flat all-reduce. `DistributedDataParallel` is not used: a supernet's step has a backward
pass for each of its networks, and DDP's hooks would either reduce in each of them, or, held back until the last by
`no_sync`, leave out every parameter that the last network does not have. Averaging once also keeps a gradient that is
None on every rank None, so that momentum and weight decay act on the same parameters as in one process.

The first rank alone opens the run's folder, reads and writes files, reports and searches; what it read, the others get
from it, so no file system need be shared.
"""

import io
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from foundation.errors import InputError

# The longest that a rank waits for another: for the first to decode, test and save what it alone handles.
TIMEOUT = timedelta(minutes=30)

_T = TypeVar("_T")


@contextmanager
def joined() -> Iterator[None]:
    """This process as one of those that `torchrun` started, until the end; alone if there are no others.

    Tensors on the CPU travel by gloo, those on GPUs by nccl. After an error the group is left as it is: the other ranks
    may be waiting in it, and end with the process or by `torchrun`.

    Raises InputError for an environment that is not torchrun's.
    """
    if _from_environment("WORLD_SIZE", 1) > 1:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        try:
            store, number, ranks = next(rendezvous("env://", timeout=TIMEOUT))
        except ValueError as error:
            raise InputError(f"WORLD_SIZE is set, but {error}; start many processes with torchrun") from None
        store = PrefixStore(_incarnation(store, number, ranks), store)
        dist.init_process_group(backend, store=store, rank=number, world_size=ranks, timeout=TIMEOUT)
    yield
    leave()


def _incarnation(store: Store, number: int, ranks: int) -> str:
    """What the ranks of this start have in common and those of no other start have: a prefix for their keys.

    After a failure torchrun's agents start all ranks again with the store they had (torch 2.14), in which gloo would
    find the addresses of ranks that are gone. Neither a count of restarts (every host counts its own) nor the port
    tells one start from the next, so the first rank tells the others: each greets it with a word drawn for this start,
    and its answer lies under that word. A greeting left by a dead rank is answered too, to nobody, and then overwritten
    by its successor's.
    """
    own = uuid.uuid4().hex
    if number > 0:
        store.set(f"coordnas/greeting/{number}", own)
        answer = f"coordnas/answer/{own}"
        try:
            store.wait([answer], TIMEOUT)
        except dist.DistStoreError:
            raise InputError(f"torchrun: rank 0 of {ranks} did not answer rank {number} within {TIMEOUT}") from None
        common = store.get(answer).decode()
        store.set(f"coordnas/heard/{common}/{own}", "")
        return common
    deadline = time.monotonic() + TIMEOUT.total_seconds()
    silent = list(range(1, ranks))
    while silent and time.monotonic() < deadline:
        silent = [other for other in range(1, ranks) if not _answered(store, other, own)]
        time.sleep(0.01)
    if silent:
        raise InputError(f"torchrun: ranks {silent} of {ranks} did not start within {TIMEOUT}")
    return own


def _answered(store: Store, other: int, common: str) -> bool:
    """Answers a rank's latest greeting; whether it has heard that."""
    greeting = f"coordnas/greeting/{other}"
    if not store.check([greeting]):
        return False
    word = store.get(greeting).decode()
    store.set(f"coordnas/answer/{word}", common)
    return store.check([f"coordnas/heard/{common}/{word}"])


def leave() -> None:
    """Ends what the ranks do together. The first may go on alone; the others have nothing left to do."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """This process's number among those on this machine, from 0: the GPU it uses."""
    return _from_environment("LOCAL_RANK", 0)


def local_world() -> int:
    """How many of the processes are on this machine."""
    return max(1, _from_environment("LOCAL_WORLD_SIZE", 1))


def is_first_to_complain() -> bool:
    """Whether no other rank has ended with an error yet. One mistake is reported once."""
    if world() == 1:
        return True
    try:
        return int(dist.distributed_c10d._get_default_store().add("complaints", 1)) == 1
    except RuntimeError:  # the store went with the rank that held it
        return rank() == 0


def from_first(make: Callable[[], _T]) -> _T:
    """What `make` returns on the first rank, on all of them: plain values and tensors, which arrive on the CPU.

    It is called on the first rank only. An InputError there is raised on every rank.
    """
    if world() == 1:
        return make()
    sent = torch.empty(0, dtype=torch.uint8)
    if rank() == 0:
        outcome: dict[str, Any]
        try:
            outcome = {"value": make()}
        except InputError as error:
            outcome = {"error": str(error)}
        buffer = io.BytesIO()
        torch.save(outcome, buffer)
        sent = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    size = torch.tensor(len(sent))
    dist.broadcast(size, 0)
    if rank() > 0:
        sent = torch.empty(int(size), dtype=torch.uint8)
    dist.broadcast(sent, 0)
    received = torch.load(io.BytesIO(sent.numpy().tobytes()), map_location="cpu", weights_only=True)
    if "error" in received:
        raise InputError(received["error"])
    value: _T = received["value"]
    return value


def from_all(value: _T) -> list[_T]:
    """The ranks' values in their order: plain values and tensors, which arrive on the CPU."""
    if world() == 1:
        return [value]
    buffer = io.BytesIO()
    torch.save(value, buffer)
    own = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(world())]
    dist.all_gather(sizes, torch.tensor([len(own)]))
    parts = [torch.zeros(int(max(sizes)), dtype=torch.uint8) for _ in sizes]
    dist.all_gather(parts, nn.functional.pad(own, (0, len(parts[0]) - len(own))))
    contents = (part[: int(size)].numpy().tobytes() for part, size in zip(parts, sizes, strict=True))
    return [torch.load(io.BytesIO(content), map_location="cpu", weights_only=True) for content in contents]


@contextmanager
def entered_by_first(context: AbstractContextManager[_T]) -> Iterator[_T]:
    """A context that the first rank enters and the others only learn the value of."""
    with ExitStack() as stack:
        yield from_first(lambda: stack.enter_context(context))


@torch.no_grad()
def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Gives every rank the first one's values, in place."""
    if world() > 1:
        for tensor in tensors:
            whole = tensor.contiguous()
            dist.broadcast(whole, 0)
            tensor.copy_(whole)


@torch.no_grad()
def average(tensors: Sequence[Tensor]) -> None:
    """Replaces tensors of one type and device by their means over the ranks, in place and in one all-reduce."""
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def average_gradients(parameters: Iterable[Tensor], loss: float) -> float:
    """Averages the gradients over the ranks, and the loss, which it returns. Where there is none there stays none.

    Every rank must have gradients of the same parameters, as it has after a step on the same networks.
    """
    if world() == 1:
        return loss
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mean = torch.tensor([loss], device=gradients[0].device if gradients else None)
    average([*gradients, mean])
    return mean.item()


def total(values: Sequence[float]) -> list[float]:
    """The sums over the ranks."""
    if world() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(sums)
    return list(sums.tolist())


class _AllReduce(torch.autograd.Function):
    """The sum over the ranks, with its gradient: torch.distributed.nn's is deprecated."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        reduced = x.clone()
        dist.all_reduce(reduced)
        return reduced

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        reduced = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(reduced)
        return reduced


def gathered(x: Tensor) -> Tensor:
    """The ranks' tensors of one shape, stacked along a new first dimension; gradients flow back to each rank's own."""
    rows = [x if place == rank() else torch.zeros_like(x) for place in range(world())]
    stacked: Tensor = _AllReduce.apply(torch.stack(rows))
    return stacked


def _from_environment(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise InputError(f"{name}={text}: expected a number in the environment, as torchrun sets it")
    return int(text)
