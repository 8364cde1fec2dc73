"""T2T-ViTs in the formats that other programs read, at any size and in batches."""

import warnings
from pathlib import Path

import pytest
import torch

from deployment.export import export
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space import Attention, build
from search_space.families.t2t.architecture import T2TArchitecture, TransformerBlock
from search_space.network import Network
from search_space.parts import NO_ATTENTION
from training.model_file import ModelInfo

timm = pytest.importorskip("timm")


def _network(tokens: str, attention: Attention) -> tuple[Network, ModelInfo]:
    blocks = (TransformerBlock(2, 2, attention), TransformerBlock(1, 3, NO_ATTENTION))
    architecture = T2TArchitecture(24, tokens, 7, (2, 2, 1), 8, 16, 8, 24, blocks)
    network = build(architecture, 3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval(), ModelInfo(architecture, ("a", "b", "c"), (0.5,), (0.2,), "folder")


def test_every_format_answers_as_the_network(tmp_path: Path) -> None:
    """`export` compares each with the network at its own size, an odd and an oblong one, in batches of 1 to 3."""
    network, info = _network("performer", Attention("ca", 4))
    pictures = [torch.randn(16, 3, 24, 24) for _ in range(4)]
    formats = ["onnx", "int8", "torchscript", "safetensors", "timm"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = export(network, info, formats, tmp_path, Reporter(quiet=True), calibration=pictures)
    assert len(written) == len(formats)
    import deployment.timm_entry  # noqa: F401 (registers the model)

    images = torch.randn(2, 3, 24, 36)
    model = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True, features_only=True).eval()
    found = model(images)
    expected = network.features(images)
    assert model.feature_info.channels() == [one.shape[1] for one in expected] == [8, 16]
    assert model.feature_info.reduction() == [24 // one.shape[2] for one in expected] == [2, 4]
    for own, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(own, theirs)
    last = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True, features_only=True, out_indices=(1,))
    assert len(last.eval()(images)) == 1
    with pytest.raises(InputError, match="feature_cls: networks of family t2t give maps by 'getter', not 'hook'"):
        timm.create_model(f"local-dir:{tmp_path / 'timm'}", features_only=True, feature_cls="hook")


@pytest.mark.parametrize("tokens", ["transformer", "convolution"])
def test_other_tokens_are_exported(tmp_path: Path, tokens: str) -> None:
    network, info = _network(tokens, Attention("se", 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(network, info, ["torchscript", "timm"], tmp_path, Reporter(quiet=True))
