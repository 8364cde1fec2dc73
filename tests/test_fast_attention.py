"""Coordinate attention by strips equals its plain form and timm's, keeps less, and leaves to that what it must."""

import copy
import io
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.attention import authors, maps, saved_bytes
from evaluators.supernet.store import WeightStore
from search_space.attention import CoordinateAttention, strips
from search_space.cost.cost import Counter
from search_space.cost.priced_space import PricedSpace

LAYOUTS = {"rows": torch.contiguous_format, "channels last": torch.channels_last}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of any size go by strips, and batches in parts."""
    monkeypatch.setattr(strips, "LARGE", 0)
    monkeypatch.setattr(strips, "CACHED", 2000)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The inputs that went by strips."""
    inputs: list[Tensor] = []
    original = CoordinateAttention._in_strips

    def noted(self: CoordinateAttention, x: Tensor) -> Tensor:
        inputs.append(x)
        return original(self, x)

    monkeypatch.setattr(CoordinateAttention, "_in_strips", noted)
    return inputs


def _trained(channels: int = 24, reduction: int = 4) -> CoordinateAttention:
    """No two parameters or batch statistics alike."""
    op = CoordinateAttention(channels, reduction)
    with torch.no_grad():
        for parameter in op.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        assert op.norm.running_mean is not None
        assert op.norm.running_var is not None
        op.norm.running_mean.normal_(0, 0.1)
        op.norm.running_var.uniform_(0.5, 1.5)
    return op


def _gradients(op: Callable[[Tensor], Tensor], x: Tensor, parameters: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    out = op(x)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    return out, torch.autograd.grad(out, [x, *parameters], weights)


@layouts
@pytest.mark.parametrize("size", [(7, 7), (5, 12), (9, 40), (1, 6), (3, 1), (1, 1)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_equals_timms_and_the_plain_form(
    layout: torch.memory_format,
    size: tuple[int, int],
    training: bool,
    dtype: torch.dtype,
    tolerance: float,
    used: list[Tensor],
) -> None:
    ours = _trained().to(dtype).train(training)
    theirs = authors(ours)
    plain = copy.deepcopy(ours)
    x = torch.randn(5, 24, *size, dtype=dtype).contiguous(memory_format=layout)
    out, gradients = _gradients(ours, x, ours.parameters())
    assert len(used) == 1
    assert out.is_contiguous(memory_format=layout)
    for other, module in ((theirs, theirs), (plain.plain, plain)):
        expected, other_gradients = _gradients(other, x, module.parameters())
        torch.testing.assert_close(out, expected, rtol=0, atol=tolerance)
        # Of all: in training the norm takes the bias before it away, whose gradient is the others' rounding.
        largest = max(1.0, *(float(gradient.abs().max()) for gradient in other_gradients))
        for own, one in zip(gradients, other_gradients, strict=True):
            torch.testing.assert_close(own, one, rtol=0, atol=tolerance * largest)
    torch.testing.assert_close(ours.norm.running_var, theirs.bn1.running_var, rtol=1e-6, atol=1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=tolerance)
    assert len(used) == 2


@layouts
def test_gradients_are_those_of_finite_differences(layout: torch.memory_format, used: list[Tensor]) -> None:
    op = _trained(3, 1).double()
    x = torch.randn(3, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    names = [name for name, _ in op.named_parameters()]

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(op, dict(zip(names, values, strict=True)), (x,))

    inputs = (x, *(parameter.detach().requires_grad_() for parameter in op.parameters()))
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)
    assert used


@layouts
def test_parts_of_a_batch_change_nothing(layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch) -> None:
    op = _trained()
    x = torch.randn(7, 24, 6, 5).contiguous(memory_format=layout)
    found = []
    for cached in (1, 2000, 1 << 19):
        monkeypatch.setattr(strips, "CACHED", cached)
        found.append(_gradients(op, x, op.parameters()))
    for out, gradients in found[1:]:
        assert torch.equal(out, found[0][0])
        for own, other in zip(gradients, found[0][1], strict=True):
            torch.testing.assert_close(own, other)


@layouts
def test_any_gradient_is_taken(layout: torch.memory_format) -> None:
    op = _trained()
    x = torch.randn(3, 24, 6, 5).contiguous(memory_format=layout).requires_grad_()
    for gradient in (
        torch.ones(()).expand(3, 24, 6, 5),
        torch.randn(3, 24, 5, 6).mT,
        torch.randn(6, 5, 3, 24).permute(2, 3, 0, 1),
    ):
        (own,) = torch.autograd.grad(op(x), x, gradient)
        (plain,) = torch.autograd.grad(op.plain(x), x, gradient)
        torch.testing.assert_close(own, plain, rtol=0, atol=1e-6)


@layouts
def test_keeps_fewer_maps_for_the_backward_pass(layout: torch.memory_format) -> None:
    op = _trained(96, 32)
    x = torch.randn(2, 96, 28, 28).contiguous(memory_format=layout).requires_grad_()
    size = x.numel() * x.element_size()
    assert size < saved_bytes(op, x) < 1.3 * size
    assert saved_bytes(authors(op), x) > 2 * size


@pytest.mark.parametrize("training", [False, True])
def test_counters_see_the_same_work(training: bool, used: list[Tensor]) -> None:
    op = _trained().train(training)
    x = torch.randn(2, 24, 6, 9).contiguous(memory_format=torch.channels_last)
    counts = []
    for form in (op, op.plain):
        with torch.no_grad(), FlopCounterMode(display=False) as theirs:
            form(x)
        with torch.no_grad(), Counter() as own:
            form(x)
        counts.append((theirs.get_total_flops(), 2 * own.macs))
    assert len(used) == 2
    assert counts[0] == counts[1] == (2 * 2 * 2 * 24 * 8 * 15,) * 2


def test_shared_weights_equal_the_extracted_network_bit_for_bit(tiny_space: PricedSpace, used: list[Tensor]) -> None:
    store = WeightStore(tiny_space.space, tiny_space.num_classes)
    x = torch.randn(4, 3, 24, 40).contiguous(memory_format=torch.channels_last)
    rng = random.Random(0)
    drawn = 0
    while drawn < 12:
        architecture = tiny_space.sample(rng)
        if any(attention.kind == "ca" for stage in architecture.stages for attention in stage.attention):
            drawn += 1
            assert torch.equal(store(architecture, x), store.extract(architecture).train()(x))
    assert used
    assert any(not one.is_contiguous() for one in used)


@layouts
def test_an_empty_batch(layout: torch.memory_format) -> None:
    x = torch.empty(0, 24, 6, 5).contiguous(memory_format=layout)
    with torch.no_grad():
        assert _trained().eval()(x).shape == x.shape


class TestElsewhere:
    """What sees plain operations."""

    @pytest.fixture(autouse=True)
    def _none_by_strips(self, used: list[Tensor]) -> Any:
        yield
        assert not used

    @layouts
    def test_autocast(self, layout: torch.memory_format) -> None:
        op = _trained()
        x = torch.randn(3, 24, 6, 5).contiguous(memory_format=layout).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = op(x)
            assert torch.equal(out, op.plain(x))
        out.sum().backward()
        assert x.grad is not None

    @layouts
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, layout: torch.memory_format, dtype: torch.dtype) -> None:
        op = _trained().to(dtype).eval()
        x = torch.randn(3, 24, 6, 5, dtype=dtype).contiguous(memory_format=layout)
        assert op(x).dtype == dtype

    @layouts
    def test_meta(self, layout: torch.memory_format) -> None:
        x = torch.empty(3, 24, 6, 5, device="meta").contiguous(memory_format=layout)
        assert _trained().to("meta")(x).shape == x.shape

    @layouts
    @pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
    def test_exported_traced_and_compiled(self, layout: torch.memory_format) -> None:
        op = _trained().eval()
        x = torch.randn(3, 24, 6, 5).contiguous(memory_format=layout)
        other = torch.randn(2, 24, 9, 4).contiguous(memory_format=layout)
        dynamic = torch.export.Dim.DYNAMIC
        program = torch.export.export(op, (x,), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},))
        assert {"conv2d", "mean"} <= {
            str(node.target).split(".")[1] for node in program.graph.nodes if "." in str(node.target)
        }
        traced = torch.jit.trace(op, x, check_trace=False)  # type: ignore[no-untyped-call]
        scripted = torch.jit.script(op)  # type: ignore[no-untyped-call]
        graph = torch.fx.symbolic_trace(op)
        compiled = torch.compile(op, backend="eager", fullgraph=True, dynamic=True)
        for form in (program.module(), traced, scripted, graph, compiled):
            torch.testing.assert_close(form(other), op.plain(other))

    @pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
    def test_transforms(self) -> None:
        op = _trained().eval()
        x = torch.randn(3, 24, 6, 5).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(torch.func.vmap(lambda one: op(one[None])[0])(x), op.plain(x))
        _, tangent = torch.func.jvp(op, (x,), (torch.ones_like(x),))
        assert tangent.shape == x.shape

    def test_maps_with_gaps(self) -> None:
        op = _trained()
        x = torch.randn(3, 48, 6, 5)[:, ::2]
        torch.testing.assert_close(op(x), op.plain(x))


def test_as_an_onnx_model_right_at_other_sizes() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    op = _trained().eval()
    dynamic = torch.export.Dim.DYNAMIC
    file = io.BytesIO()
    program = torch.onnx.export(
        op,
        (torch.randn(2, 24, 6, 5).contiguous(memory_format=torch.channels_last),),
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
    )
    assert program is not None
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for shape in ((2, 24, 6, 5), (3, 24, 9, 14)):
        x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        (found,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x.numpy())})
        torch.testing.assert_close(torch.from_numpy(found), op(x).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("what", ["hook", "parametrised", "replaced"])
def test_what_was_done_to_a_convolution_is_respected(what: str, used: list[Tensor]) -> None:
    op = _trained().eval()
    if what == "hook":
        op.height.register_forward_hook(lambda module, inputs, output: output + 1)
    elif what == "parametrised":
        nn.utils.parametrizations.weight_norm(op.height)
        with torch.no_grad():
            op.height.parametrizations.weight.original0.mul_(2)  # type: ignore[union-attr, operator]
    else:
        op.height = nn.Sequential(op.height, nn.Tanh())  # type: ignore[assignment]
    x = torch.randn(3, 24, 6, 5).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(op(x), op.plain(x), rtol=0, atol=1e-6)
    assert used


def test_the_benchmark_measures_mobilenetv2s_maps() -> None:
    assert maps() == {
        (96, 56): 1,
        (144, 56): 1,
        (144, 28): 1,
        (192, 28): 2,
        (192, 14): 1,
        (384, 14): 4,
        (576, 14): 2,
        (576, 7): 1,
        (960, 7): 3,
    }
