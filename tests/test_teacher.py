"""A teacher: the networks that can be one, the pictures that it sees, and a training that learns from it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.network import build
from search_space.spaces import priced_space
from tasks.classification.room import CLASSIFICATION
from training.data.datasets import Dataset, load_data
from training.methods.teacher import load_teacher
from training.model_file import ModelInfo, save_model
from training.procedure import Procedure, Teaching
from training.recipe import Recipe
from training.standalone import Trained, train_standalone

QUIET = Reporter(quiet=True)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 32, CPU)


def _taught(folder: Path, data: Dataset, teaching: Teaching | None) -> Trained:
    architecture, recipe = priced_space("mobilenetv2-32").smallest, Recipe(epochs=1, batch_size=16)
    return train_standalone(
        architecture,
        data,
        Procedure(recipe, CLASSIFICATION, teaching=teaching),
        seed=0,
        folder=folder,
        reporter=QUIET,
        what="found",
    )


def test_sees_pictures_as_it_was_trained_on_them(data: Dataset, tmp_path: Path) -> None:
    architecture = priced_space("mobilenetv2-32").smallest
    path = tmp_path / "weights.safetensors"
    network = build(architecture, 4)
    info = ModelInfo(architecture, data.classes, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "folder")
    save_model(path, network.state_dict(), info)
    teacher = load_teacher(str(path), data)
    raw = torch.rand(2, 3, 32, 32)

    def normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
        return (raw - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)

    expected = network.eval()(normalised(info.mean, info.std))
    torch.testing.assert_close(teacher(normalised(data.mean, data.std)), expected, rtol=1e-4, atol=1e-4)


def test_torchvisions_with_a_file(data: Dataset, tmp_path: Path) -> None:
    from torchvision import models

    network = models.get_model("shufflenet_v2_x0_5", num_classes=4)
    torch.save(network.state_dict(), tmp_path / "teacher.pth")
    spec = f"torchvision:shufflenet_v2_x0_5={tmp_path / 'teacher.pth'}"
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(load_teacher(spec, data)(images), network.eval()(images), rtol=1e-3, atol=1e-4)
    torch.save(models.get_model("shufflenet_v2_x0_5").state_dict(), tmp_path / "teacher.pth")
    with pytest.raises(InputError, match="does not hold its weights"):
        load_teacher(spec, data)
    (tmp_path / "teacher.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"teacher.pth does not hold its weights"):
        load_teacher(spec, data)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvision:nothing", "torchvision has no classifier 'nothing'"),
        ("timm:nothing", "timm has no model 'nothing'"),
        ("absent.safetensors", "`teacher` absent.safetensors: no such file; expected torchvision:NAME"),
        ("torchvision:resnet18=absent.pth", "absent.pth: no such file"),
    ],
)
def test_unknown(data: Dataset, spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_teacher(spec, data)


def test_timms_of_one_resolution_only(data: Dataset, tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    network = timm.create_model("test_vit", num_classes=4)
    save_file(network.state_dict(), tmp_path / "teacher.safetensors")
    teacher = load_teacher(f"timm:test_vit={tmp_path / 'teacher.safetensors'}", data)
    assert teacher(torch.randn(2, 3, 32, 32)).shape == (2, 4)


def test_pictures_that_it_does_not_take(data: Dataset, tmp_path: Path) -> None:
    from torchvision import models

    torch.save(models.get_model("alexnet", num_classes=4).state_dict(), tmp_path / "teacher.pth")
    with pytest.raises(InputError, match="does not take pictures of 32×32 pixels"):
        load_teacher(f"torchvision:alexnet={tmp_path / 'teacher.pth'}", data)


def test_teaches(data: Dataset, tmp_path: Path) -> None:
    asked: list[int] = []

    def predict(images: Tensor) -> Tensor:
        asked.append(len(images))
        return torch.zeros(len(images), 4)

    _taught(tmp_path, data, Teaching("flat", predict))
    assert asked == [16] * 4
    with pytest.raises(InputError, match="belongs to another training"):
        _taught(tmp_path, data, None)
