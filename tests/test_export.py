"""A trained network in other formats: each loads elsewhere, computes the same at any size, and says what it is."""

import json
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from deployment import export as exporting
from deployment.choices import FORMATS, parse_formats
from deployment.export import calibration_pictures, check_exported, check_installed, check_same_outputs, export
from deployment.onnx_session import OnnxNetwork
from foundation.progress import Reporter
from search_space import Architecture, Attention, InputError, Network, Stage, attention, build
from search_space.backbones import BACKBONES, hand_designed
from search_space.families.mobile.blocks import attend, blocks
from search_space.parts import NO_ATTENTION
from tasks.choice import task
from training.checkpoint import load_weights
from training.data.datasets import load_data
from training.data.preprocessing import read_picture
from training.model_file import ModelInfo, load_model

QUIET = Reporter(quiet=True)
CPU = torch.device("cpu")


def _attention(kind: str) -> Attention:
    return Attention(kind, 4 if attention.takes_reduction(kind) else None)


def _network(architecture: Architecture, num_classes: int = 4) -> Network:
    """With batch statistics and logits as a trained network may have them."""
    network = build(architecture, num_classes).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.1)
    nn.init.normal_(network.classifier.weight)
    return network


def _info(architecture: Architecture, data: str = "folder") -> ModelInfo:
    return ModelInfo(architecture, ("a", "b", "ç [d]", "e"), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), data)


@pytest.fixture(scope="module")
def every_op() -> Architecture:
    """Every attention op of the registry, every block, and a stage of EfficientNet with its activation."""
    efficient = BACKBONES["efficientnet_b0"](0.1).stages[2]
    kinds = tuple(_attention(kind) for kind in attention.kinds())
    others = tuple(Stage(block, 8, 1, 2, 3, (NO_ATTENTION,)) for block in blocks() if block != "inverted_residual")
    return Architecture(
        resolution=24,
        stem_width=8,
        stem_stride=2,
        stages=(
            Stage("inverted_residual", 8, 1, 2, 3, kinds),
            *attend(others, 8, "silu", lambda *_: Attention("ca", 4)),
            replace(efficient, attention=efficient.attention[:1]),
        ),
        head_width=16,
        activation="silu",
    )


Exported = tuple[Network, ModelInfo, Path]


@pytest.fixture(scope="module")
def exported(every_op: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The network in every format but int8."""
    torch.manual_seed(1)
    network, info = _network(every_op), _info(every_op)
    folder = tmp_path_factory.mktemp("exported")
    written = export(network, info, parse_formats("onnx,safetensors,torchscript,timm"), folder, QUIET)
    names = ["model.onnx", "model.safetensors", "model.torchscript.pt", "timm"]
    assert [path.name for path in written] == names
    assert sorted(entry.name for entry in folder.iterdir()) == names
    return network, info, folder


def _onnx(folder: Path) -> Callable[[Tensor], Tensor]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _safetensors(folder: Path) -> Callable[[Tensor], Tensor]:
    return load_model(folder / "model.safetensors")[0]


def _torchscript(folder: Path) -> Callable[[Tensor], Tensor]:
    return torch.jit.load(folder / "model.torchscript.pt")


def _timm(folder: Path) -> Callable[[Tensor], Tensor]:
    return timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True).eval()


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("load", [_onnx, _safetensors, _torchscript, _timm])
@pytest.mark.parametrize("shape", [(1, 24, 24), (5, 24, 24), (2, 31, 31), (1, 40, 17), (3, 64, 50), (1, 9, 9)])
@torch.no_grad()
def test_a_format_computes_the_same(
    exported: Exported, load: Callable[[Path], Callable[[Tensor], Tensor]], shape: tuple[int, int, int]
) -> None:
    network, _, folder = exported
    images = torch.randn(shape[0], 3, *shape[1:])
    expected = network(images)
    allowed = 1e-5 * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(load(folder)(images), expected, rtol=0, atol=allowed)
    assert expected.std() > 0.01


def test_the_mobilenets_export(tmp_path: Path) -> None:
    """A block of each with their activation; the export itself compares."""
    stages = []
    for name in ("mobilenetv2", "mobilenext"):
        whole = BACKBONES[name](0.1, Attention("ca", 8), 32)
        stages += [replace(stage, attention=stage.attention[:1]) for stage in whole.stages[2:3]]
    architecture = Architecture(64, whole.stem_width, 2, tuple(stages), None, whole.activation)
    (path,) = export(_network(architecture), _info(architecture), ("onnx",), tmp_path, QUIET)
    assert path.exists()


@pytest.mark.parametrize("kind", attention.kinds())
def test_an_op_is_traced_for_maps_of_one_pixel(kind: str, tmp_path: Path) -> None:
    """A traced network keeps what Python decides: it must not decide by the size of a map."""
    stages = (Stage("inverted_residual", 8, 2, 2, 3, (_attention(kind),)),)
    architecture = Architecture(4, 8, 2, stages, None, "relu6")
    network = _network(architecture)
    export(network, _info(architecture), ("torchscript",), tmp_path, QUIET)


def test_files_say_what_they_are(exported: Exported) -> None:
    _, info, folder = exported
    assert load_model(folder / "model.safetensors")[1] == info
    assert load_model(folder / "timm/model.safetensors")[1] == info
    told = OnnxNetwork(folder / "model.onnx").metadata
    for name in ("model.safetensors", "timm/model.safetensors"):
        assert load_weights(folder / name)[1] == told
    assert ModelInfo.from_metadata(told, "") == info
    assert json.loads(told["input_size"]) == [3, 24, 24]
    extra = dict.fromkeys(told, "")
    with pytest.warns(FutureWarning, match=r"torch\.jit"):
        torch.jit.load(folder / "model.torchscript.pt", _extra_files=extra)
    assert {name: bytes(text).decode() for name, text in extra.items()} == told


def test_an_onnx_model_is_for_any_size_and_tells_nothing_of_this_machine(exported: Exported) -> None:
    onnx = pytest.importorskip("onnx")
    path = exported[2] / "model.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (images,), (logits,) = model.graph.input, model.graph.output
    shape = [axis.dim_param or axis.dim_value for axis in images.type.tensor_type.shape.dim]
    assert (images.name, shape) == ("images", ["batch", 3, "height", "width"])
    assert logits.name == "logits"
    root = str(Path(__file__).parent.parent)
    assert root.encode() not in path.read_bytes()
    assert b"site-packages" not in path.read_bytes()


def test_timm_knows_how_pictures_are_prepared(exported: Exported) -> None:
    model = timm.create_model(f"local-dir:{exported[2] / 'timm'}", pretrained=True)
    config = timm.data.resolve_model_data_config(model)
    assert tuple(config["mean"]) == (0.4, 0.5, 0.6)
    assert tuple(config["std"]) == (0.2, 0.3, 0.25)
    assert tuple(config["input_size"]) == (3, 24, 24)
    assert config["crop_pct"] == 1.0
    assert tuple(model.default_cfg["label_names"]) == exported[1].classes
    grey = exporting.timm_config(ModelInfo(exported[1].architecture, ("a", "b"), (0.2,), (0.3,), "imagenet"))[
        "pretrained_cfg"
    ]
    assert grey["mean"] == (0.2, 0.2, 0.2)
    assert grey["crop_pct"] == 224 / 256


@torch.no_grad()
def test_timm_takes_the_network_apart(exported: Exported) -> None:
    name = f"local-dir:{exported[2] / 'timm'}"
    model = timm.create_model(name, pretrained=True).eval()
    images = torch.randn(2, 3, 24, 30)
    features = model.forward_features(images)
    assert features.shape == (2, model.num_features, 6, 8)
    assert torch.equal(model.forward_head(features), model(images))
    pooled = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(pooled, features.mean((2, 3)))
    assert model.get_classifier().weight.shape == (4, model.num_features)
    assert timm.create_model(name, pretrained=True, num_classes=0).eval()(images).equal(pooled)
    unpooled = timm.create_model(name, pretrained=True, num_classes=0, global_pool="").eval()
    assert unpooled(images).equal(features)
    other = timm.create_model(name, pretrained=True, num_classes=7).eval()
    assert other(images).shape == (2, 7)
    assert other.forward_features(images).equal(features)
    model.reset_classifier(3)
    assert model(images).shape == (2, 3)
    dropping = timm.create_model(name, pretrained=True, drop_rate=0.5).train()
    dropped = dropping.forward_head(features, pre_logits=True)
    assert ((dropped - 2 * pooled).abs().lt(1e-5) | dropped.eq(0)).all()
    assert 0 < int(dropped.eq(0).sum()) < dropped.numel()
    with pytest.raises(InputError, match="in_chans: CoordNAS networks take pictures of 3 channels, got 1"):
        timm.create_model(name, in_chans=1)
    with pytest.raises(InputError, match="global_pool: expected avg, or '' with num_classes=0, got 'max'"):
        timm.create_model(name, global_pool="max")


@torch.no_grad()
@pytest.mark.parametrize("chosen", [None, (0,), (-1,), (0, -1)])
@pytest.mark.parametrize("how", ["list", "dict", "hook"])
def test_timm_takes_maps_from_the_network(exported: Exported, chosen: tuple[int, ...] | None, how: str) -> None:
    """Of each size the last map; the network's own modules are the oracle."""
    network, _, folder = exported
    images = torch.randn(2, 3, 24, 32)
    own = [network.stem(images)]
    for stage in network.stages:
        own.append(stage(own[-1]))
    expected = [
        x
        for x, following in zip(own, [*own[1:], None], strict=True)
        if following is None or following.shape[2:] != x.shape[2:]
    ]
    assert 1 < len(expected) < len(own)
    wanted = {} if chosen is None else {"out_indices": chosen}
    model = timm.create_model(
        f"local-dir:{folder / 'timm'}", pretrained=True, features_only=True, feature_cls=how, **wanted
    ).eval()
    found = model(images)
    expected = [expected[index] for index in (range(len(expected)) if chosen is None else chosen)]
    found = list(found.values()) if how == "dict" else found
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)
    assert model.feature_info.channels() == [y.shape[1] for y in expected]
    assert model.feature_info.reduction() == [images.shape[2] // y.shape[2] for y in expected]


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenext-ca", "efficientnet_b0"])
def test_the_maps_of_a_network_are_those_of_timm(name: str) -> None:
    """timm's own MobileNetV2 and EfficientNet tell the same channels and reductions."""
    architecture = hand_designed(name)
    assert architecture is not None
    model = timm.create_model("coordnas", network=architecture.to_dict(), features_only=True)
    assert model.feature_info.reduction() == [2, 4, 8, 16, 32]
    theirs = {"mobilenetv2": "mobilenetv2_100", "efficientnet_b0": "efficientnet_b0"}
    if name in theirs:
        peer = timm.create_model(theirs[name], features_only=True)
        assert model.feature_info.channels() == peer.feature_info.channels()


@torch.no_grad()
@pytest.mark.parametrize("name", ["mobilenetv3_small", "mobilenetv4_conv_small"])
def test_an_exported_network_with_a_layer_after_the_mean(name: str, tmp_path: Path) -> None:
    architecture = hand_designed(name)
    assert architecture is not None
    architecture = architecture.at(64)
    network = _network(architecture)
    export(network, _info(architecture), ("timm",), tmp_path, QUIET)
    images = torch.randn(2, 3, 64, 64)
    loaded = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True).eval()
    torch.testing.assert_close(loaded(images), network(images))
    torch.testing.assert_close(loaded.forward_features(images), network.spatial_map(images))
    pooled = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True, num_classes=0).eval()
    torch.testing.assert_close(pooled(images), network.last_map(images).mean((2, 3)))


PEERS = {
    "mobilenetv3_small": "mobilenetv3_small_100",
    "mobilenetv3_large": "mobilenetv3_large_100",
    "mobilenetv4_conv_small": "mobilenetv4_conv_small",
}


@torch.no_grad()
@pytest.mark.parametrize("name", PEERS)
def test_a_layer_after_the_mean_belongs_to_the_head_as_in_timm(name: str) -> None:
    architecture = hand_designed(name)
    assert architecture is not None
    theirs = timm.create_model(PEERS[name]).eval()
    create = partial(timm.create_model, "coordnas", network=architecture.to_dict())
    model = create().eval()
    assert (model.num_features, model.head_hidden_size) == (theirs.num_features, theirs.head_hidden_size)
    same = name == "mobilenetv4_conv_small"  # of the others timm's convolution after the mean is another
    if same:
        model.load_state_dict(dict(zip(model.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 64, 96)
    features, expected = model.forward_features(images), theirs.forward_features(images)
    hidden = model.forward_head(features, pre_logits=True)
    last, maps = model.forward_intermediates(images)
    their_maps = theirs.forward_intermediates(images)[1]
    if same:
        torch.testing.assert_close(features, expected)
        torch.testing.assert_close(hidden, theirs.forward_head(expected, pre_logits=True))
        torch.testing.assert_close(model(images), theirs(images))
        torch.testing.assert_close(maps, their_maps)
    assert features.shape == expected.shape
    assert hidden.shape == (2, theirs.head_hidden_size)
    assert torch.equal(last, features)
    assert [one.shape for one in maps] == [one.shape for one in their_maps]
    assert torch.equal(model.forward_head(features), model(images))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own word on TorchScript
        assert torch.equal(torch.jit.script(model)(images), model(images))
    peer = timm.create_model(PEERS[name], features_only=True)
    taken = create(features_only=True)
    assert taken.feature_info.channels() == peer.feature_info.channels()
    assert [one.shape for one in taken(images)] == [one.shape for one in peer(images)]
    model.reset_classifier(7)
    assert model(images).shape == (2, 7)
    model.reset_classifier(0)
    assert torch.equal(model(images), hidden)
    model.reset_classifier(0, "")
    assert torch.equal(model(images), features)
    dropping = create(drop_rate=0.5).train()
    dropped = dropping.forward_head(torch.ones_like(features), pre_logits=True)
    assert dropped.shape == hidden.shape


def test_the_programs_of_the_documentation_run(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, info, folder = exported
    monkeypatch.chdir(tmp_path)
    for name in ("model.onnx", "timm"):
        Path(name).symlink_to(folder / name)
    Image.effect_noise((24, 24), 90).convert("RGB").save("picture.jpg", quality=100)
    logits = network(read_picture(Path("picture.jpg"), info)[None])
    text = (Path(__file__).parent.parent / "docs/deployment.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        exec(compile(program, "docs/deployment.md", "exec"), {})
        assert capsys.readouterr().out == f"{info.classes[logits.argmax()]}\n"


@pytest.mark.parametrize("data", ["folder", "imagenet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_documented_preparation_is_the_projects(
    data: str, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = BACKBONES["mobilenetv2"](0.1)
    info = replace(_info(architecture, data), mean=(0.4, 0.5, 0.6)[:channels], std=(0.2, 0.3, 0.25)[:channels])
    given: list[Any] = []

    class Session:
        def __init__(self, path: str):
            assert path == "model.onnx"

        def get_modelmeta(self) -> Any:
            return SimpleNamespace(custom_metadata_map=exporting.metadata(info))

        def run(self, _outputs: None, inputs: dict[str, Any]) -> list[Any]:
            given.append(inputs["images"])
            return [torch.zeros(1, 4).numpy()]

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    monkeypatch.chdir(tmp_path)
    # No square, and less than twice as large as is needed: larger JPEGs are scaled while they are decoded.
    Image.effect_noise((420, 300), 90).convert("RGB").resize((380, 290)).save("picture.jpg", quality=100)
    text = (Path(__file__).parent.parent / "docs/deployment.md").read_text()
    program = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    exec(compile(program, "docs/deployment.md", "exec"), {})
    expected = read_picture(Path("picture.jpg"), info)[None]
    assert given[0].dtype == expected.numpy().dtype
    torch.testing.assert_close(torch.from_numpy(given[0]), expected, rtol=0, atol=1e-5)


class Freezing(nn.Module):
    """Remembers, once traced, the size that it saw."""

    def forward(self, x: Tensor) -> Tensor:
        return x * float(x.shape[3])


@pytest.fixture
def tiny() -> Architecture:
    return Architecture(16, 8, 2, (Stage("inverted_residual", 8, 2, 2, 3, (NO_ATTENTION,)),), None, "relu6")


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_format_that_computes_something_else_is_not_kept(tiny: Architecture, tmp_path: Path) -> None:
    network = _network(tiny)
    network.head = Freezing()
    with pytest.raises(InputError) as raised:
        export(network, _info(tiny), ("torchscript",), tmp_path, QUIET)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'model.torchscript.pt'}: its logits differ from the network's by ")
    assert " at 1 picture of 16×16, more than " in message
    assert message.endswith("; leave torchscript out of `export`")
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_where_the_new_one_is_wrong(
    tiny: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"older")
    other = _network(tiny)
    monkeypatch.setattr(exporting, "load_model", lambda path: (other, None))
    with pytest.raises(InputError, match=r"model\.safetensors: its logits differ"):
        export(_network(tiny), _info(tiny), ("safetensors",), tmp_path, QUIET)
    assert (tmp_path / "model.safetensors").read_bytes() == b"older"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda logits: logits + 1e-4, "differ from the network's by 1.0e-04 at 1 picture of 16×16"),
        (lambda logits: logits * float("nan"), "by nan at 1 picture of 16×16"),
        (lambda logits: logits[:, :-1], "by nan at 1 picture of 16×16"),
        (lambda logits: logits if len(logits) == 1 else logits * 1.1, "at 3 pictures of 16×16"),
    ],
)
def test_what_the_check_finds(tiny: Architecture, change: Callable[[Tensor], Tensor], message: str) -> None:
    network = _network(tiny)
    check_same_outputs(network, lambda images: network(images) + 1e-7, 16, Path("x"), "leave it")
    with pytest.raises(InputError) as raised:
        check_same_outputs(network, lambda images: change(network(images)), 16, Path("x"), "leave it")
    assert message in str(raised.value)


def test_the_check_meets_sizes_that_a_format_cannot_take(tiny: Architecture) -> None:
    network = _network(tiny)

    def fixed(images: Tensor) -> Tensor:
        if images.shape[-1] != 16:
            raise RuntimeError("expected 16 pixels\nand more")
        return network(images)

    with pytest.raises(InputError, match=r"x: fails at 1 picture of 17×17 \(expected 16 pixels\); leave it"):
        check_same_outputs(network, fixed, 16, Path("x"), "leave it")


def test_formats_of_a_command_line() -> None:
    assert parse_formats("onnx,timm,onnx") == ("onnx", "timm")
    assert parse_formats("int8") == ("onnx", "int8")
    assert parse_formats(",".join(FORMATS)) == FORMATS
    for text, message in (("onnx,tflite", "tflite is no format; expected any of onnx,"), ("", "nothing is no format")):
        with pytest.raises(ValueError, match=message):
            parse_formats(text)


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnxscript"), ("timm", "timm"), ("int8", "onnxruntime")])
def test_a_package_that_is_missing(
    tiny: Architecture, tmp_path: Path, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    check_installed(("safetensors", "torchscript"))
    with pytest.raises(InputError, match=f"{package} is not installed; get it by: pip install 'coordnas\\[export\\]'"):
        export(_network(tiny), _info(tiny), ("safetensors", name), tmp_path, QUIET)
    assert list(tmp_path.iterdir()) == []


def test_calibration_pictures_are_the_training_pictures(picture_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "CALIBRATION", 40)
    data = load_data(f"folder:{picture_folder}", 16, CPU)
    batches: list[Any] = list(calibration_pictures(data))
    assert [len(batch) for batch in batches] == [16, 16, 8]
    assert batches[0].dtype == torch.float32
    known = {image.numpy().tobytes() for images, _ in data.train.batches(16) for image in images}
    assert all(image.numpy().tobytes() in known for batch in batches for image in batch)


def test_settings_of_a_task_are_no_head() -> None:
    check_exported(task("robust:8/255:10"), ("timm",))
    with pytest.raises(InputError, match="for a linear classifier alone, not for head bottleneck"):
        check_exported(task("classification", "bottleneck"), ("timm",))
