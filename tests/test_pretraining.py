"""Pictures without labels: views, the contrast against a peer's, the command, and what a retraining takes of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_metric_learning.losses import NTXentLoss
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tv

from commands import evaluate, pretrain, retrain
from foundation.errors import InputError
from search_space.head import FeaturesHead
from search_space.network import build
from search_space.spaces import priced_space
from studies.runs.source import read_source
from tasks.classification.room import CLASSIFICATION
from tasks.pretraining import PRETRAINING
from tests.saying import Saying
from training.augmentation.colour import distort, luma, turns
from training.augmentation.recipe import Augmentation
from training.checkpoint import load_weights
from training.data.datasets import load_data
from training.data.unlabelled import load_unlabelled
from training.methods.choice import METHODS, Training
from training.methods.contrast import nt_xent
from training.methods.simclr import SimCLRStep
from training.model_file import load_model
from training.recipe import Recipe

CPU = torch.device("cpu")


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def loose(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 96 pictures without class folders."""
    root = tmp_path_factory.mktemp("loose")
    for path in picture_folder.glob("*/*.png"):
        shutil.copy(path, root / f"{path.parent.name}-{path.name}")
    return root


def test_the_loss_is_a_peer_s() -> None:
    features = torch.randn(12, 5)
    numbers = torch.arange(6).repeat(2)
    theirs = NTXentLoss(temperature=0.5)(features, numbers)
    torch.testing.assert_close(nt_xent(F.normalize(features), 0.5), theirs)


def test_views_are_of_the_same_pictures_and_drawn_apart(loose: Path) -> None:
    split = load_unlabelled(f"folder:{loose}", 32, CPU).train
    plain = [images for images, _ in split.batches(16, seed=3)]
    two = [images for images, _ in split.batches(16, seed=3, augmentation=Augmentation(views=2))]
    for once, twice in zip(plain, two, strict=True):
        assert torch.equal(twice, torch.cat((once, once)))
    altered, _ = next(split.batches(16, seed=3, augmentation=Augmentation("random-resized-crop", views=2)))
    assert not torch.equal(altered[:16], altered[16:])


def test_the_ranks_views_are_those_of_one_process(loose: Path) -> None:
    split = load_unlabelled(f"folder:{loose}", 32, CPU).train
    augmentation = Augmentation("random-resized-crop", colour=0.5, views=2)
    whole, _ = next(split.batches(16, seed=3, augmentation=augmentation))
    for rank in range(2):
        part, _ = next(split.batches(16, seed=3, augmentation=augmentation, share=(rank, 2)))
        assert torch.equal(part, torch.cat((whole[:16][rank::2], whole[16:][rank::2])))


def test_streamed_pictures_have_the_same_views(loose: Path) -> None:
    streamed = load_unlabelled(f"folder:{loose}", 32, CPU, streamed=True, loaders=0).train
    images, _ = next(streamed.batches(64, seed=3, augmentation=Augmentation(views=2)))
    assert len(images) == 128
    assert torch.equal(images[:64], images[64:])


def _pictures(channels: int = 3) -> Tensor:
    return torch.randint(256, (5, channels, 8, 8), dtype=torch.uint8)


def _draws(count: int, **given: float) -> Tensor:
    """Those that change nothing but what is given: 0.5 is the middle of each reach."""
    names = ("altered", "brightness", "contrast", "saturation", "hue", "grey")
    usual = {"altered": 0.0, "grey": 1.0}
    return torch.tensor([given.get(name, usual.get(name, 0.5)) for name in names]).expand(count, 6)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("drawn", [0.1, 0.9])
def test_colours_are_adjusted_as_torchvision_does(name: str, drawn: float) -> None:
    pictures = _pictures()
    ours = distort(pictures, _draws(5, **{name: drawn}), 0.5)
    theirs = getattr(tv, f"adjust_{name}")(pictures, 1 + 0.4 * (2 * drawn - 1))
    assert (ours.int() - theirs.int()).abs().max() <= 1


def test_a_hue_is_turned_about_the_grey_axis() -> None:
    angle, chroma = torch.tensor([0.7, 0.0]), torch.ones(2)
    turned, unmoved = turns(angle, chroma)
    torch.testing.assert_close(unmoved, torch.eye(3, dtype=torch.float64))
    grey = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(turned @ grey, grey)  # greys stay
    colours = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    after = torch.einsum("ij,njhw->nihw", turned, colours)
    torch.testing.assert_close(luma(after), luma(colours))
    (back,) = turns(-angle[:1], chroma[:1])
    torch.testing.assert_close(back @ turned, torch.eye(3, dtype=torch.float64))
    assert (turned - unmoved).abs().max() > 0.3


def test_some_become_grey_and_some_stay() -> None:
    pictures = _pictures()
    assert torch.equal(distort(pictures, _draws(5, altered=0.9, brightness=1.0, hue=1.0), 1.0), pictures)
    grey = distort(pictures, _draws(5, altered=0.9, grey=0.1), 1.0)
    assert (grey.amax(1).int() - grey.amin(1).int()).max() <= 1


def test_grey_pictures_have_no_hue() -> None:
    pictures = _pictures(1)
    assert torch.equal(distort(pictures, _draws(5, hue=1.0, saturation=0.0, grey=0.0), 1.0), pictures)


def test_pictures_without_class_folders_are_all_there(loose: Path, picture_folder: Path) -> None:
    data = load_unlabelled(f"folder:{loose}", 32, CPU)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [86, 5, 5]
    assert data.classes == ()
    assert data.identity == load_unlabelled(f"folder:{loose}/", 32, CPU).identity
    labelled = load_unlabelled(f"folder:{picture_folder}", 32, CPU)
    own = load_data(f"folder:{picture_folder}", 32, CPU)
    assert labelled.classes == ()
    for split in ("train", "validation", "test"):  # so that no picture of a later test is learnt from
        assert torch.equal(getattr(labelled, split).images, getattr(own, split).images)


def test_folders_that_a_retraining_takes_for_classes_are_said(picture_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "mixed"
    shutil.copytree(picture_folder, root)
    count = sum(path.is_dir() for path in root.iterdir())
    shutil.copy(next(picture_folder.glob("*/*.png")), root)
    reporter = Saying()
    load_unlabelled(f"folder:{root}", 32, CPU, reporter)
    assert any(f"retrain.py takes the {count} folders for classes, and tests on some" in line for line in reporter.said)


def test_splits_of_classes_are_kept_apart_beside_a_stray_picture(picture_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "parts"
    shutil.copytree(picture_folder, root / "train")
    shutil.copytree(picture_folder, root / "test")
    shutil.copy(next(picture_folder.glob("*/*.png")), root)
    data = load_unlabelled(f"folder:{root}", 32, CPU)
    assert data.count("test") == 96
    assert data.count("train") + data.count("validation") == 96


def test_features_are_the_classifiers_input() -> None:
    network = build(priced_space("mobilenetv2-32").smallest, FeaturesHead()).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network(images), network.last_map(images).mean((2, 3)))
    assert network.num_classes == 0


def test_what_tells_pictures_apart_matches_all_views(loose: Path) -> None:
    split = load_unlabelled(f"folder:{loose}", 32, CPU).train

    class Constant(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.ones(len(images), 4)

    class Known(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.eye(len(images) // 2).repeat(2, 1)

    found = PRETRAINING.measure(Known(), split.batches(43))
    assert (found.measured.value, found.pictures) == (1.0, 86)
    assert PRETRAINING.measure(Constant(), split.batches(43)).measured.value == pytest.approx(1 / 43)


@pytest.fixture
def command(tmp_path: Path, loose: Path) -> list[str]:
    source = tmp_path / "architecture.json"
    source.write_text(json.dumps(priced_space("mobilenetv2-32").smallest.to_dict()))
    return [str(source), "--data", f"folder:{loose}", "--epochs", "3", "--batch-size", "16", "--quiet"]


def test_a_retraining_begins_from_it(command: list[str], tmp_path: Path, picture_folder: Path) -> None:
    out = tmp_path / "pretrained"
    pretrain.main([*command, "--dry-run", "--out", str(out)])
    assert not out.exists()
    pretrain.main([*command, "--out", str(out)])
    kept = load_weights(out / "weights.safetensors")[0]
    network, info = load_model(out / "weights.safetensors")
    assert (info.task, info.head, info.classes) == ("pretraining", FeaturesHead(), ())
    assert kept.keys() == network.state_dict().keys()  # without the projector
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert {"loss", "validation_matched", "validation_loss"} <= lines[0].keys()
    (result,) = json.loads((out / "results.json").read_text())
    assert result["test"].keys() == {"matched", "loss"}
    tuned = tmp_path / "tuned"
    data = ["--data", f"folder:{picture_folder}", "--epochs", "1", "--batch-size", "16", "--quiet"]
    retrain.main([command[0], *data, "--init", str(out), "--method", "core-tuning", "--out", str(tuned)])
    assert json.loads((tuned / "given-0" / "recipe.json").read_text())["init"].startswith("network ")
    with pytest.raises(InputError, match=r"holds another run: `temperature` is 0\.5 there and 0\.3 here"):
        pretrain.main([*command, "--temperature", "0.3", "--out", str(out)])


def test_a_backbone_has_no_task_yet(command: list[str], tmp_path: Path, picture_folder: Path) -> None:
    out = tmp_path / "out"
    pretrain.main([*command, "--epochs", "1", "--out", str(out)])
    with pytest.raises(InputError, match="a backbone that was trained without labels, which says nothing of pictures"):
        evaluate.main([str(out / "weights.safetensors"), "--data", "digits", "--quiet"])
    source = read_source(str(out), f"folder:{picture_folder}")
    assert (source.task, source.architecture) == ("classification", priced_space("mobilenetv2-32").smallest)


def test_the_last_epoch_s_weights_are_kept(command: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    pretrain.main([*command, "--out", str(out)])
    kept = load_weights(out / "weights.safetensors")[0]
    state = torch.load(out / "checkpoint", weights_only=True)["model"]
    for name, tensor in kept.items():
        assert torch.equal(tensor, state[f"network.{name}"])


def test_a_killed_training_ends_with_the_same_bits(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain.main([*command, "--out", str(tmp_path / "whole")])
    steps = iter(range(100))
    original = SimCLRStep.__call__

    def dying(self: SimCLRStep, *arguments: Any) -> float:
        if next(steps) == 8:
            raise Killed
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SimCLRStep, "__call__", dying)
        with pytest.raises(Killed):
            pretrain.main([*command, "--out", str(tmp_path / "killed")])
    pretrain.main([*command, "--out", str(tmp_path / "killed")])
    name = "weights.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_crops_are_of_whole_pictures(tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the squares that pictures in memory are: the right ends of these are of one colour, and in no square."""
    wide = tmp_path / "wide"
    wide.mkdir()
    for number in range(24):
        picture = np.zeros((40, 160, 3), np.uint8)
        picture[:, 120:] = 200 + number
        Image.fromarray(picture).save(wide / f"{number:02}.png")
    brightest = []
    original = SimCLRStep.__call__

    def looking(self: SimCLRStep, images: Tensor, *rest: Any) -> float:
        brightest.append(images.max().item())
        return original(self, images, *rest)

    monkeypatch.setattr(SimCLRStep, "__call__", looking)
    pretrain.main([*command, "--data", f"folder:{wide}", "--out", str(tmp_path / "out"), "--loaders", "0"])
    assert max(brightest) > 0


def test_bad_pictures_are_told_by_name(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    for folder, message in (("absent", "no such folder"), ("few", "no pictures below")):
        with pytest.raises(InputError, match=message):
            pretrain.main([*command, "--data", f"folder:{tmp_path / folder}", "--out", str(tmp_path / "out")])
    for flag, message in (
        ("--colour", "simclr: `colour`: expected"),
        ("--temperature", "simclr: `temperature`: expected"),
    ):
        with pytest.raises(InputError, match=message):
            pretrain.main([*command, flag, "11", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_the_method_is_for_backbones_alone(picture_folder: Path) -> None:
    data = load_data(f"folder:{picture_folder}", 32, CPU)
    network = build(priced_space("mobilenetv2-32").smallest, 4)
    with pytest.raises(InputError, match="`method` simclr: for backbones without a head"):
        METHODS["simclr"](Training(network, 32, Recipe(), CLASSIFICATION, data))


def test_a_folder_of_one_folder_of_pictures_will_do(loose: Path, tmp_path: Path) -> None:
    shutil.copytree(loose, tmp_path / "root" / "all")
    data = load_unlabelled(f"folder:{tmp_path / 'root'}", 32, CPU)
    assert sum(data.count(split) for split in ("train", "validation", "test")) == 96
