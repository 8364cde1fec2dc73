"""What a retraining adds to the loop: recipes, first weights, two checkpoints, restarts, what is refused."""

import copy
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from commands import recipes, retrain, retrain_setup
from commands.recipes import RECIPES, RetrainSettings
from foundation.errors import InputError
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.first_weights import FirstWeights
from search_space.network import Network, build
from search_space.spaces import priced_space
from studies.runs import run_folder
from tasks.classification.room import CLASSIFICATION
from tests.forked import Forked
from training.checkpoint import latest_checkpoint, load_weights, previous, remove_checkpoints, save_checkpoint
from training.data.dataset import files_of
from training.data.datasets import Dataset, load_data
from training.methods.drop_path import add_drop_path
from training.methods.label_step import LabelStep
from training.model_file import load_model
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import Trained, train_standalone

ROOT = Path(__file__).parent.parent
QUIET = Reporter(quiet=True)
CPU = torch.device("cpu")
EVERYTHING = Recipe(
    epochs=3,
    batch_size=16,
    micro_batch=6,
    learning_rate=0.05,
    label_smoothing=0.1,
    ema_decay=0.8,
    augmentation="crop-flip",
    mixup=0.2,
    cutmix=1.0,
    drop_path=0.3,
)


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 32, CPU)


def _trained(folder: Path, data: Dataset, recipe: Recipe = EVERYTHING, **more: Any) -> Trained:
    architecture = priced_space("mobilenetv2-32").smallest
    return train_standalone(
        architecture,
        data,
        Procedure(recipe, CLASSIFICATION, **more),
        seed=0,
        folder=folder,
        reporter=QUIET,
        what="found",
    )


class TestRecipes:
    def test_every_setting_is_a_flag(self) -> None:
        flags = {field.name for field in fields(RetrainSettings)}
        assert {field.name for field in fields(Recipe)} <= flags

    def test_flags_override_the_recipe(self) -> None:
        settings = RetrainSettings("x", recipe="modern", epochs=3, mixup=0.0, nesterov=False, micro_batch="64")
        chosen = recipes.recipe(settings)
        assert chosen == replace(RECIPES["modern"], epochs=3, mixup=0.0, nesterov=False, micro_batch=64)
        assert recipes.recipe(RetrainSettings("x", micro_batch="auto")) == RECIPES["quick"]

    def test_the_papers_is_the_papers(self) -> None:
        paper = RECIPES["paper"]
        assert (paper.epochs, paper.batch_size, paper.learning_rate, paper.momentum) == (200, 256, 0.05, 0.9)
        assert (paper.weight_decay, paper.augmentation) == (4e-5, "random-resized-crop")
        assert not any((paper.label_smoothing, paper.rand_augment, paper.erasing, paper.mixup, paper.cutmix))


class TestDropPath:
    def test_only_training_drops(self) -> None:
        architecture = priced_space("mobilenetv2-32").largest
        plain = build(architecture, 10)
        dropping = copy.deepcopy(plain)
        add_drop_path(dropping, 0.9)
        dropping = copy.deepcopy(dropping)  # as the average of the weights does
        assert dropping.state_dict().keys() == plain.state_dict().keys()
        x = torch.randn(8, 3, 32, 32)
        assert torch.equal(plain.eval()(x), dropping.eval()(x))
        assert not torch.equal(plain.train()(x), dropping.train()(x))

    def test_rates_grow_linearly(self) -> None:
        network = build(priced_space("mobilenetv2-32").largest, 10)
        add_drop_path(network, 0.5)
        rates = [hook.rate for module in network.modules() for hook in module._forward_hooks.values()]
        assert rates == sorted(rates)
        assert 0 < rates[0] < rates[-1] <= 0.5


def test_first_weights_are_those_given(data: Dataset, tmp_path: Path) -> None:
    seen: list[Architecture] = []

    def zeros(architecture: Architecture) -> Network:
        seen.append(architecture)
        network = build(architecture, 10)
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
        return network

    still = Recipe(epochs=1, batch_size=16, learning_rate=1e-6, weight_decay=0.0)
    _trained(tmp_path, data, still, start=FirstWeights("zeros", zeros))
    weights, _ = load_weights(tmp_path / "weights.safetensors")
    assert seen == [priced_space("mobilenetv2-32").smallest]
    assert float(weights["stem.conv.weight"].abs().max()) < 1e-3


def test_a_damaged_line_of_metrics(data: Dataset, tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=16)
    accuracy = _trained(tmp_path, data, recipe).test.measured.value
    first, *_ = (tmp_path / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "metrics.jsonl").write_text(f'{first}\n{{"epoch": 2, "lo')
    assert _trained(tmp_path, data, recipe).test.measured.value == accuracy  # from its checkpoint
    remove_checkpoints(tmp_path / "checkpoint")
    with pytest.raises(InputError, match=r"metrics\.jsonl: has a damaged line; remove .*, and it is trained again"):
        _trained(tmp_path, data, recipe)


def test_weights_of_both_kinds_are_validated_and_the_better_kept(data: Dataset, tmp_path: Path) -> None:
    import json

    trained = _trained(tmp_path, data)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for name in ("accuracy", "top5", "loss"):
            assert f"validation_{name}" in line
            assert f"raw_validation_{name}" in line
        assert line["images_per_second"] > 0
    network, info = load_model(tmp_path / "weights.safetensors")
    assert info.classes == data.classes
    right = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in data.validation.batches(64))
    best = max(max(line["validation_accuracy"], line["raw_validation_accuracy"]) for line in lines)
    assert right / len(data.validation) == pytest.approx(best)
    kept = json.loads((tmp_path / "recipe.json").read_text())
    assert (kept["mixup"], kept["init"], kept["seed"]) == (0.2, "scratch", 0)
    predictions, _ = load_weights(tmp_path / "predictions.safetensors")
    hits = predictions["predicted"] == predictions["labels"]
    assert float(hits.float().mean()) == pytest.approx(trained.test.measured.value)
    assert any((tmp_path / "tensorboard").iterdir())


class TestLastTwoCheckpoints:
    def _weights(self, folder: Path) -> dict[str, Tensor]:
        return load_weights(folder / "weights.safetensors")[0]

    @pytest.mark.parametrize("damage", ["truncated", "empty", "absent"])
    def test_a_damaged_one_falls_back(
        self, data: Dataset, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        whole, hurt = tmp_path / "whole", tmp_path / "hurt"
        for folder in (whole, hurt):
            _trained(folder, data)
        (hurt / "metrics.jsonl").unlink()  # else it is known to be finished
        checkpoint = hurt / "checkpoint"
        assert previous(checkpoint).exists()
        if damage == "absent":
            checkpoint.unlink()
        else:
            content = checkpoint.read_bytes()
            checkpoint.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
        architecture = priced_space("mobilenetv2-32").smallest
        train_standalone(
            architecture,
            data,
            Procedure(EVERYTHING, CLASSIFICATION),
            seed=0,
            folder=hurt,
            reporter=Reporter(),
            what="found",
        )
        assert ("going on from the one before it" in capsys.readouterr().out) == (damage != "absent")
        for name, tensor in self._weights(whole).items():
            assert torch.equal(tensor, self._weights(hurt)[name])

    def test_the_good_one_outlives_the_next_save(self, data: Dataset, tmp_path: Path) -> None:
        _trained(tmp_path, data)
        checkpoint = tmp_path / "checkpoint"
        checkpoint.write_bytes(b"?")
        assert latest_checkpoint(checkpoint, lambda message: None) is not None
        save_checkpoint(checkpoint, {"new": 1})
        checkpoint.unlink()  # as a kill between two moves leaves it
        assert latest_checkpoint(checkpoint, lambda message: None) is not None

    def test_a_finished_training_needs_none(self, data: Dataset, tmp_path: Path) -> None:
        first = _trained(tmp_path, data)
        remove_checkpoints(tmp_path / "checkpoint")
        before = (tmp_path / "weights.safetensors").read_bytes()
        assert _trained(tmp_path, data).test.measured == first.test.measured
        assert (tmp_path / "weights.safetensors").read_bytes() == before
        assert not (tmp_path / "checkpoint").exists()

    def test_another_trainings_folder_stays_as_it_is(self, data: Dataset, tmp_path: Path) -> None:
        _trained(tmp_path, data)
        before = {path: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()}
        with pytest.raises(InputError, match="belongs to another training"):
            _trained(tmp_path, data, replace(EVERYTHING, learning_rate=0.01))
        assert {path: path.read_bytes() for path in before} == before

    def test_both_damaged(self, data: Dataset, tmp_path: Path) -> None:
        _trained(tmp_path, data)
        (tmp_path / "metrics.jsonl").unlink()
        for path in (tmp_path / "checkpoint", tmp_path / "checkpoint.previous"):
            path.write_bytes(b"?")
        with pytest.raises(InputError, match="checkpoint: not a checkpoint"):
            _trained(tmp_path, data)


# Kills its process in a step after the first checkpoint, whatever the machine is busy with.
DEADLY = """
import os, signal
from training.methods.label_step import LabelStep

step, calls = LabelStep.__call__, 0

def dying(*arguments):
    global calls
    calls += 1
    if calls == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)

LabelStep.__call__ = dying
"""


def test_killed_by_the_system_and_started_again(
    picture_folder: Path, tmp_path: Path, launched: Callable[..., "subprocess.CompletedProcess[str]"], forked: Forked
) -> None:
    """The command, by SIGKILL in the midst of an epoch, with everything random switched on."""
    (tmp_path / "mine.json").write_text(priced_space("mobilenetv2-32").smallest.to_json())
    flags = "--epochs 4 --batch-size 16 --micro-batch 6 --ema-decay 0.8 --mixup 0.2 --cutmix 1 --drop-path 0.3"
    command = ["retrain.py", "mine.json", "--data", f"folder:{picture_folder}", "--quiet", *flags.split()]
    command += ["--augmentation", "crop-flip", "--learning-rate", "0.05"]
    torch.set_num_threads(1)
    assert launched(tmp_path, *command, "--out", "whole").returncode == 0
    killed = forked(tmp_path, *command, "--out", "killed", before=DEADLY)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert launched(tmp_path, *command, "--out", "killed").returncode == 0
    for name in ("weights.safetensors", "predictions.safetensors"):
        whole, again = (load_weights(tmp_path / out / "given-0" / name)[0] for out in ("whole", "killed"))
        assert all(torch.equal(tensor, again[key]) for key, tensor in whole.items())
    results = [(tmp_path / out / "results.json").read_bytes() for out in ("whole", "killed")]
    assert results[0] == results[1]


ELASTIC = """
import os, signal, sys, time
from pathlib import Path
import torch
from search_space.spaces import priced_space
from foundation import distributed
from training.data.datasets import load_data
from training.methods.label_step import LabelStep
from foundation.progress import Reporter
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import train_standalone
from tasks.classification.room import CLASSIFICATION

pictures, again = sys.argv[1], os.environ["TORCHELASTIC_RESTART_COUNT"] == "1"
step = LabelStep.__call__

def dying(self, images, labels, number):
    if not again and number == 6 and distributed.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, images, labels, number)

LabelStep.__call__ = dying
torch.set_num_threads(1)
if again:
    Path("again").touch()
if again and os.environ["RANK"] == "1":
    time.sleep(2)  # the first rank, ahead, finds what the ranks before it left in torchrun's store
with distributed.joined():
    data = load_data(f"folder:{pictures}", 32, torch.device("cpu"))
    recipe = Recipe(epochs=3, batch_size=16, learning_rate=0.05, ema_decay=0.8)
    quiet = Reporter(quiet=True)
    smallest = priced_space("mobilenetv2-32").smallest
    for name in ("dies", "lives"):  # only those that are started again come to the second
        train_standalone(
            smallest, data, Procedure(recipe, CLASSIFICATION), seed=0, folder=Path(name), reporter=quiet, what="it"
        )
"""


def test_torchrun_restarts_from_the_last_checkpoint(picture_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elastic.py").write_text(ELASTIC)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*torchrun, "--max-restarts", "1", "elastic.py", str(picture_folder)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "again").exists()
    lives, dies = (load_weights(tmp_path / name / "weights.safetensors")[0] for name in ("lives", "dies"))
    assert all(torch.equal(tensor, dies[key]) for key, tensor in lives.items())


def test_what_is_trained_beside_a_network_does_not_change_it(
    tiny_space: PricedSpace, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks of a comparison may see larger pictures than the found one, which may be trained before or with them."""
    small, large = tiny_space.smallest, tiny_space.largest
    assert small.resolution < large.resolution
    (tmp_path / "small.json").write_text(small.to_json())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retrain_setup, "beside", lambda *given: {"other": large})
    flags = ["small.json", "--data", f"folder:{picture_folder}", "--epochs", "1", "--batch-size", "16", "--quiet"]

    def trained(folder: str, network: str) -> dict[str, list[float]]:
        tensors, _ = load_weights(tmp_path / folder / f"{network}-0" / "weights.safetensors")
        return {name: tensor.flatten().tolist() for name, tensor in tensors.items()}

    retrain.main([*flags, "--out", "one"])
    before = trained("one", "given")
    retrain.main([*flags, "--out", "one", "--compare"])
    retrain.main([*flags, "--out", "both", "--compare"])
    assert before == trained("one", "given") == trained("both", "given")
    assert trained("one", "other") == trained("both", "other")
    pixels = {name: read_json(tmp_path / "both" / f"{name}-0" / "recipe.json")["pixels"] for name in ("given", "other")}
    assert pixels == {"given": [small.resolution] * 2, "other": [large.resolution] * 2}


def test_a_folder_where_nothing_is_trained_yet_takes_the_corrected_command(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(self: LabelStep, images: Tensor, labels: Tensor, number: int) -> float:
        raise InputError("out of memory")

    (tmp_path / "mine.json").write_text(priced_space("mobilenetv2-32").smallest.to_json())
    monkeypatch.chdir(tmp_path)
    flags = ["mine.json", "--data", f"folder:{picture_folder}", "--epochs", "1", "--batch-size", "16", "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(LabelStep, "__call__", exhausted)
        with pytest.raises(InputError, match="out of memory"):
            retrain.main(flags)
    retrain.main([*flags, "--micro-batch", "8"])
    folder = tmp_path / "mine" / "retrain"
    before = (folder / "config.json").read_bytes()

    def refused() -> None:
        with pytest.raises(InputError, match=r"holds another run: `micro_batch` is 8 there and 4 here"):
            retrain.main([*flags, "--micro-batch", "4"])
        assert (folder / "config.json").read_bytes() == before

    refused()
    # Checkpoints may be removed after a training; what it came to is not mixed with another's.
    remove_checkpoints(folder / "given-0" / "checkpoint")
    refused()
    (folder / "results.json").rename(tmp_path / "aside.json")
    refused()
    (tmp_path / "aside.json").rename(folder / "results.json")
    (folder / "given-0" / "weights.safetensors").unlink()
    refused()


def test_a_search_s_folder_is_not_taken_over(picture_folder: Path, tmp_path: Path) -> None:
    """Nor is what another command has left: `adapt.py` and `pretrain.py` go by the same list."""
    space = priced_space("mobilenetv2-32")
    write_json(tmp_path / "best.json", {"architecture": space.smallest.to_dict()})
    identity = {"space": space.to_dict(), "budget": {}, "data": "folder 0123456789abcdef"}
    write_json(tmp_path / "config.json", {"identity": identity, "free": {"data": f"folder:{picture_folder}"}})
    before = (tmp_path / "config.json").read_bytes()
    for flags in ([], ["--dry-run"]):
        with pytest.raises(InputError, match=f"`out` {tmp_path}: holds a search; use another `out`"):
            retrain.main([str(tmp_path), "--epochs", "1", "--out", str(tmp_path), "--quiet", *flags])
    assert (tmp_path / "config.json").read_bytes() == before
    adapted = tmp_path / "adapted"
    adapted.mkdir()
    write_json(adapted / "config.json", {"identity": {"source": "another"}, "free": {}})
    assert run_folder.kept_identity(adapted, run_folder.WORTH) == {}
    (adapted / "adaptation.json").touch()
    with pytest.raises(InputError, match=f"`out` {adapted}: holds another run"):
        retrain.main([str(tmp_path), "--epochs", "1", "--out", str(adapted), "--quiet"])


@pytest.mark.parametrize("streamed", [False, True])
def test_pictures_that_changed_since_the_search(
    streamed: bool, data: Dataset, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = priced_space("mobilenetv2-32")
    free = {"data": f"folder:{picture_folder}"}

    def told(then: str, *flags: str) -> str:
        """What is said before the run ends at a teacher that is not there."""
        write_json(tmp_path / "best.json", {"architecture": space.smallest.to_dict()})
        described = {"space": space.to_dict(), "budget": {}, "data": then}
        write_json(tmp_path / "config.json", {"identity": described, "free": free})
        augmented = ["--augmentation", "random-resized-crop"] if streamed else []
        with pytest.raises(InputError, match="`teacher` absent: no such file"):
            retrain.main([str(tmp_path), "--teacher", "absent", "--loaders", "0", *augmented, *flags])
        return capsys.readouterr().out

    warning = f"is not what {tmp_path} was given any more"
    assert warning not in told(data.identity)
    assert warning not in told(files_of(data.identity))  # the same files, by a search that prepared them otherwise
    assert f"data: {free['data']} {warning}" in told("folder 0123456789abcdef")
    otherwise = f"folder:{picture_folder}/../{picture_folder.name}/"
    assert f"data: {otherwise} {warning}" in told("folder 0123456789abcdef", "--data", otherwise)
    shutil.copytree(picture_folder, tmp_path / "others")
    assert warning not in told("folder 0123456789abcdef", "--data", f"folder:{tmp_path / 'others'}")
