"""Two gloo ranks: the same weights on both, those of one process but for rounding, and the same bits after a kill."""

import json
import os
import socket
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, nn
from torch.distributed import HashStore

from evaluators.supernet.sandwich import Sandwich
from evaluators.supernet.settings import SupernetRecipe
from evaluators.supernet.store import WeightStore
from foundation import distributed
from foundation.device import resolve_device
from foundation.progress import Reporter
from search_space import InputError
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from tasks.classification.room import CLASSIFICATION
from training.augmentation.recipe import Augmentation
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data.datasets import Split, load_data
from training.diverged import DivergedError
from training.loop import fit
from training.methods.base import FunctionMethod
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import train_standalone
from training.synchronised_norm import SynchronisedBatchNorm, synchronise

ROOT = Path(__file__).parent.parent
QUIET = Reporter(quiet=True)
CPU = torch.device("cpu")
SUPERNET = SupernetRecipe(
    epochs=2,
    batch_size=16,
    learning_rate=0.05,
    ema_decay=0.9,
    augmentation="crop-flip",
    random_networks=1,
    within_budget=False,
)
# One step: in four, rounding grows until float32 and float64 end 3e-3 apart in one process, too.
STANDALONE = Recipe(epochs=1, batch_size=64, learning_rate=0.05)


class Killed(BaseException):
    pass


def _supernet(
    folder: Path, space: PricedSpace, pictures: Path, recipe: SupernetRecipe, kill_at: int = -1, nan_at: int = -1
) -> dict[str, Tensor]:
    """Weights and their average after a training in `folder`; a NaN comes to the last rank alone.

    In float64: how far rounding grows in float32 is the processor's, and hides what else would differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(distributed.rank())  # other first weights: the first rank's count
    store = WeightStore(space.space, space.num_classes, sync_batch_norm=recipe.sync_batch_norm).double()
    sandwich = Sandwich(store, recipe, seed=3)

    def step(images: Tensor, labels: Tensor, number: int) -> float:
        if number == kill_at:
            raise Killed
        if number == nan_at and distributed.rank() == distributed.world() - 1:
            images = images * float("nan")
        return sandwich(images.double(), labels, number)

    average, _ = fit(
        FunctionMethod(store, step),
        load_data(f"folder:{pictures}", 32, CPU).train,
        recipe,
        seed=1,
        checkpoint=folder / "checkpoint",
        identity={},
        reporter=QUIET,
        what="supernet",
        networks=sandwich.architectures,
    )
    own = {f"store.{name}": tensor for name, tensor in store.state_dict().items()}
    return own | {f"average.{name}": tensor for name, tensor in average.state_dict().items()}


def _alone(folder: Path, pictures: Path) -> dict[str, float]:
    recipe = replace(STANDALONE, sync_batch_norm=True)
    architecture = priced_space("mobilenetv2-32").smallest
    data = load_data(f"folder:{pictures}", 32, CPU)
    trained = train_standalone(
        architecture, data, Procedure(recipe, CLASSIFICATION), seed=0, folder=folder, reporter=QUIET, what="found"
    )
    return trained.test.measured.numbers()


def _normalised(x: Tensor, rank: int, world: int) -> list[Tensor]:
    """Output, gradients and running statistics of a synchronised norm for a rank's share of `x`."""
    torch.manual_seed(2)
    layer = nn.Sequential(nn.BatchNorm2d(3)).double()
    nn.init.normal_(layer[0].weight)
    synchronise(layer)
    mine = x[rank::world].clone().requires_grad_()
    out = layer(mine)
    (out.sin() * mine.detach()).sum().backward()
    norm: Any = layer[0]
    assert type(norm) is SynchronisedBatchNorm
    own = [out.detach(), mine.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]
    return [tensor for tensor in own if tensor is not None]


def _batch() -> Tensor:
    return torch.randn(8, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 3 + 100


def _refused(fails: Any) -> str:
    try:
        fails()
    except (InputError, DivergedError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def _fails() -> None:
    raise InputError("only the first knows")


def _rank(rank: int, port: int, folder: Path, space: PricedSpace, pictures: Path) -> None:
    """What each of the two processes does; what it found goes to a file."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    synchronised = replace(SUPERNET, sync_batch_norm=True)
    with distributed.joined():
        found: dict[str, Any] = {
            "supernet": _supernet(folder / "supernet", space, pictures, synchronised),
            "own statistics": _supernet(folder / "own", space, pictures, SUPERNET),
            "norm": _normalised(_batch(), rank, 2),
            "diverged": _refused(lambda: _supernet(folder / "diverged", space, pictures, SUPERNET, nan_at=5)),
            "input error": _refused(lambda: distributed.from_first(_fails)),
            "uneven": _refused(lambda: _supernet(folder / "uneven", space, pictures, replace(SUPERNET, batch_size=15))),
            "from first": distributed.from_first(lambda: {"threads": 1 + rank, "weights": torch.arange(3)}),
            "standalone": _alone(folder / "standalone", pictures),
            "first to complain": distributed.is_first_to_complain(),
        }
        model = nn.ModuleDict({"used": nn.Linear(2, 1), "unused": nn.Linear(2, 1)})
        model["used"](torch.full((1, 2), float(rank))).sum().backward()
        found["mean loss"] = distributed.average_gradients(model.parameters(), float(rank))
        found["gradients"] = [parameter.grad for parameter in model.parameters()]
        try:
            _supernet(folder / "killed", space, pictures, synchronised, kill_at=6)
        except Killed:
            found["continued"] = _supernet(folder / "killed", space, pictures, synchronised)
        torch.save(found, folder / f"rank{rank}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def ranks(folder: Path, tiny_space: PricedSpace, picture_folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What two processes found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (port, folder, tiny_space, picture_folder), nprocs=2)
    first, other = (torch.load(folder / f"rank{rank}", weights_only=True) for rank in range(2))
    return first, other


def _farthest(some: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    return max(float((some[name] - others[name]).abs().max()) for name in some)


Ranks = tuple[dict[str, Any], dict[str, Any]]


@pytest.mark.parametrize("what", ["supernet", "own statistics", "continued"])
def test_both_ranks_end_with_the_same_weights(ranks: Ranks, what: str) -> None:
    first, other = (found[what] for found in ranks)
    assert first.keys() == other.keys()
    assert all(torch.equal(first[name], other[name]) for name in first)


def test_two_processes_end_where_one_does(
    ranks: Ranks, tiny_space: PricedSpace, picture_folder: Path, tmp_path: Path
) -> None:
    one = _supernet(tmp_path, tiny_space, picture_folder, SUPERNET)
    torch.manual_seed(0)
    moved = _farthest(
        WeightStore(tiny_space.space, tiny_space.num_classes).double().state_dict(),
        {name[6:]: one[name] for name in one if name[:6] == "store."},
    )
    apart = _farthest(one, ranks[0]["supernet"])
    assert apart < 1e-9 * moved
    # Statistics of its own share make each process another network: the bound above can tell.
    assert _farthest(one, ranks[0]["own statistics"]) > 1e-3 * moved


def test_killed_and_continued_by_two_processes(ranks: Ranks) -> None:
    assert all(torch.equal(tensor, ranks[0]["continued"][name]) for name, tensor in ranks[0]["supernet"].items())


def test_another_number_of_processes_does_not_go_on_with_a_checkpoint_but_takes_a_finished_one(
    ranks: Ranks, folder: Path, tiny_space: PricedSpace, picture_folder: Path, tmp_path: Path
) -> None:
    finished = _supernet(folder / "own", tiny_space, picture_folder, SUPERNET)
    state = load_checkpoint(folder / "own" / "checkpoint")
    assert state is not None
    assert all(torch.equal(tensor, finished[f"store.{name}"]) for name, tensor in state["model"].items())
    state["history"].pop()
    save_checkpoint(tmp_path / "checkpoint", state)
    with pytest.raises(InputError, match="of a training by 2 processes, now there are 1; start as many"):
        _supernet(tmp_path, tiny_space, picture_folder, SUPERNET)


def test_batch_statistics_are_of_the_whole_batch(ranks: Ranks) -> None:
    out, grad, weight_grad, bias_grad, mean, variance = _normalised(_batch(), 0, 1)  # by nn.BatchNorm2d's own code
    for rank, found in enumerate(ranks):
        torch.testing.assert_close(found["norm"][0], out[rank::2])
        torch.testing.assert_close(found["norm"][1], grad[rank::2])
        torch.testing.assert_close(found["norm"][4:], [mean, variance])
    torch.testing.assert_close(ranks[0]["norm"][2] + ranks[1]["norm"][2], weight_grad)
    torch.testing.assert_close(ranks[0]["norm"][3] + ranks[1]["norm"][3], bias_grad)


def test_gradients_are_averaged_and_none_stays_none(ranks: Ranks) -> None:
    for found in ranks:
        used_weight, used_bias, *unused = found["gradients"]
        assert torch.equal(used_weight, torch.tensor([[0.5, 0.5]]))
        assert torch.equal(used_bias, torch.tensor([1.0]))
        assert unused == [None, None]
        assert found["mean loss"] == 0.5


def test_a_loss_that_breaks_on_one_rank_ends_both(ranks: Ranks, folder: Path, tiny_space: PricedSpace) -> None:
    assert ranks[0]["diverged"] == ranks[1]["diverged"]
    sandwich = Sandwich(WeightStore(tiny_space.space, tiny_space.num_classes), SUPERNET, seed=3)
    trained = sandwich.architectures(5)
    digests = ", ".join(architecture.digest()[:12] for architecture in trained)
    assert ranks[0]["diverged"] == (
        f"DivergedError: supernet: the loss became nan at step 5 (epoch 2), training networks {digests} "
        f"(see {folder}/diverged/diverged.json); the checkpoint of the last whole epoch is kept; "
        "lower the learning rate, with another `out`"
    )
    written = json.loads((folder / "diverged" / "diverged.json").read_text())
    assert written == {"step": 5, "architectures": [architecture.to_dict() for architecture in trained]}
    state = load_checkpoint(folder / "diverged" / "checkpoint")
    assert state is not None
    assert len(state["history"]) == 1
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_what_the_first_rank_reads_the_others_know(ranks: Ranks) -> None:
    for found in ranks:
        assert found["from first"]["threads"] == 1
        assert torch.equal(found["from first"]["weights"], torch.arange(3))
        assert found["input error"] == "InputError: only the first knows"
        assert found["uneven"] == (
            "InputError: `batch_size` 15: 2 processes cannot share it evenly; give a multiple of 2"
        )
    assert sorted(found["first to complain"] for found in ranks) == [False, True]


def test_standalone_training_by_two_processes(ranks: Ranks, folder: Path, picture_folder: Path, tmp_path: Path) -> None:
    assert ranks[0]["standalone"] == ranks[1]["standalone"]
    _alone(tmp_path, picture_folder)
    one, two = (load_checkpoint(path / "checkpoint") for path in (tmp_path, folder / "standalone"))
    assert one is not None
    assert two is not None
    assert one["model"].keys() == two["model"].keys()
    assert _farthest(one["model"], two["model"]) < 1e-4  # batch statistics are among them
    assert two["history"][0]["loss"] == pytest.approx(one["history"][0]["loss"], rel=1e-4)
    assert two["history"][0]["validation_loss"] == pytest.approx(one["history"][0]["validation_loss"], rel=1e-4)
    names = {"architecture.json", "checkpoint", "metrics.jsonl", "recipe.json", "tensorboard", "weights.safetensors"}
    assert {entry.name for entry in (folder / "standalone").iterdir()} == names


def test_torchrun_searches(picture_folder: Path, narrow_space_file: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    search = [str(ROOT / "search.py"), "--data", f"folder:{picture_folder}", "--out", "run"]
    small = ["--supernet-epochs", "1", "--batch-size", "8", "--trials", "3", "--startup", "3"]
    small += ["--space", narrow_space_file.name, "--max-latency-ms", "1000"]  # measured by the first rank
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*torchrun, *search, *small], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("front of 3 candidates") == 1  # the first rank alone reports
    assert json.loads((tmp_path / "run" / "config.json").read_text())["free"]["processes"] == 2
    assert {"best.json", "front.json", "latency.json", "prior.json", "supernet.safetensors"} <= {
        entry.name for entry in (tmp_path / "run").iterdir()
    }


def test_the_ranks_batches_are_one_processs(picture_folder: Path) -> None:
    train = load_data(f"folder:{picture_folder}", 32, CPU).train
    whole = list(train.batches(16, seed=5, augmentation=Augmentation("crop-flip")))
    shares = [
        list(train.batches(16, seed=5, augmentation=Augmentation("crop-flip"), share=(rank, 3))) for rank in range(3)
    ]
    for (images, labels), *parts in zip(whole, *shares, strict=True):
        for rank, (own_images, own_labels) in enumerate(parts):
            assert len(own_labels) == 5  # equal shares: of 16 pictures one is left over
            assert torch.equal(own_images, images[:15][rank::3])
            assert torch.equal(own_labels, labels[:15][rank::3])
    # In order nothing is dropped.
    counts = [sum(len(labels) for _, labels in train.batches(16, share=(rank, 3))) for rank in range(3)]
    assert sum(counts) == len(train)


COLLECTIVE = """
import torch
import torch.distributed as dist
from evaluators.base import Score
from evaluators.choice import EVALUATORS
from foundation import distributed


class Counted:
    \"\"\"Scores by what all processes found together.\"\"\"

    objective = "counted"

    def __init__(self, setup):
        self.space = setup.priced

    def identity(self):
        return {"name": "counted"}

    def about(self):
        return "counted"

    def prepare_together(self):
        ones = torch.ones(1)
        dist.all_reduce(ones)
        self.together = int(ones)

    def prepare(self):
        assert distributed.rank() == 0
        print(f"{self.together} processes")

    def evaluate(self, architecture, *, thorough=False):
        return Score("counted", float(self.space.cost(architecture).macs))


EVALUATORS["counted"] = Counted
"""


def test_a_plugin_s_evaluator_prepares_with_all_processes(
    picture_folder: Path, narrow_space_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "counted.py").write_text(COLLECTIVE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [
            *torchrun,
            *(str(root / "search.py"), "--plugin", "counted.py", "--evaluator", "counted", "--trials", "3"),
            *("--startup", "2", "--max-macs", "none", "--out", "run"),
            *("--data", f"folder:{picture_folder}", "--space", narrow_space_file.name),
        ],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 processes") == 1
    assert (tmp_path / "run" / "front.json").exists()


def test_an_environment_that_is_not_torchruns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(InputError, match="WORLD_SIZE=many: expected a number"), distributed.joined():
        pass
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = "RANK expected, but not set; start many processes with torchrun"
    with pytest.raises(InputError, match=message), distributed.joined():
        pass


def test_each_process_here_gets_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(InputError, match="`device` auto: 3 processes, but 2 GPUs here"):
        resolve_device("auto")


def test_pictures_that_do_not_fit_on_the_device_move_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: asked.append(device) or (1000, 2000))
    from training.data.held import _fits

    gpu = torch.device("cuda")
    assert _fits(300, gpu)
    assert not _fits(301, gpu)
    assert asked == [gpu, gpu]
    assert _fits(10**15, CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnAGPU:
    """bfloat16, pictures on the device, and the same batches from the host."""

    def test_batches_are_the_same_from_device_and_host(
        self, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gpu = torch.device("cuda")
        near: Split = load_data(f"folder:{picture_folder}", 32, gpu).train
        monkeypatch.setattr("training.data.held.SHARE_OF_GPU", 0.0)
        far: Split = load_data(f"folder:{picture_folder}", 32, gpu).train
        assert (near.images.device.type, far.images.device.type) == ("cuda", "cpu")
        batches = (split.batches(16, seed=1, augmentation=Augmentation("crop-flip")) for split in (near, far))
        for (images, labels), (others, other_labels) in zip(*batches, strict=True):
            assert others.device.type == "cuda"
            assert torch.equal(images, others)
            assert torch.equal(labels, other_labels)

    def test_a_network_learns_in_bfloat16(self, picture_folder: Path, tmp_path: Path) -> None:
        data = load_data(f"folder:{picture_folder}", 32, torch.device("cuda"))
        architecture = priced_space("mobilenetv2-32").smallest
        recipe = Recipe(epochs=8, batch_size=16, learning_rate=0.05)
        trained = train_standalone(
            architecture, data, Procedure(recipe, CLASSIFICATION), seed=0, folder=tmp_path, reporter=QUIET, what="found"
        )
        assert trained.test.measured.value > 0.5


def test_every_start_has_a_word_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever those before left in the store, and in whatever order the ranks come."""
    store = HashStore()
    words = []
    for start in range(3):
        with ThreadPoolExecutor(3) as pool:
            order = [(rank + start) % 3 for rank in range(3)]
            futures = []
            for rank in order:
                futures.append(pool.submit(distributed._incarnation, store, rank, 3))
                time.sleep(0.05)
            found = {future.result() for future in futures}
        assert len(found) == 1
        words += found
    assert len(set(words)) == 3
    # A rank that died after its greeting was answered, while the first still waits for another.
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(distributed._incarnation, store, 0, 3)
        dead = pool.submit(distributed._incarnation, store, 1, 3).result()
        successor = pool.submit(distributed._incarnation, store, 1, 3).result()
        last = pool.submit(distributed._incarnation, store, 2, 3).result()
        assert first.result() == successor == last == dead
    monkeypatch.setattr(distributed, "TIMEOUT", timedelta(seconds=0.2))
    with pytest.raises(InputError, match=r"torchrun: ranks \[1, 2\] of 3 did not start within 0:00:00.2"):
        distributed._incarnation(HashStore(), 0, 3)
    with pytest.raises(InputError, match=r"torchrun: rank 0 of 3 did not answer rank 2 within 0:00:00.2"):
        distributed._incarnation(HashStore(), 2, 3)
