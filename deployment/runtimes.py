"""What runs a network on a device: torch eagerly, torch's compiler, or ONNX Runtime."""

import contextlib
import ctypes
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deployment.choices import RUNTIMES
from deployment.onnx_export import INPUT, OUTPUT, onnx_models, onnx_module
from foundation.errors import InputError

Call = Callable[[], object]
"""One forward pass, finished when it returns."""


class Runtime:
    """A runtime on a device with so many threads.

    Raises InputError for an unknown runtime, one that is not installed, or one that cannot use the device.
    """

    def __init__(self, name: str, threads: int, device: torch.device):
        if name not in RUNTIMES:
            raise InputError(f"`runtime` {name}: unknown; known: {', '.join(RUNTIMES)}")
        if name == "onnxruntime" and device.type != "cpu":
            raise InputError(f"`runtime` onnxruntime: measured on the CPU only; use `device` cpu, not {device.type}")
        self.name = name
        self.threads = threads
        self.device = device
        package = onnx_module("onnxruntime") if name == "onnxruntime" else torch
        if name == "onnxruntime":
            onnx_module("onnx")
            onnx_module("onnxscript")
        # Pieces that are prepared and measured together, and whose times are written together: compiling takes seconds
        # each, while a call of the exporter takes seconds however little it exports.
        self.group = 8 if name == "compile" else 64
        self.described = f"{name}, {package.__name__} {package.__version__}"

    def calls(self, modules: Sequence[nn.Module], inputs: Sequence[Tensor]) -> list[Call]:
        """A call for each module in evaluation mode on its input."""
        if self.name == "onnxruntime":
            models = onnx_models(modules, inputs)
            return [self.onnx_call(*each) for each in zip(models, modules, inputs, strict=True)]
        return [self._torch(module, x) for module, x in zip(modules, inputs, strict=True)]

    def _torch(self, module: nn.Module, x: Tensor) -> Call:
        module, x = module.to(self.device), x.to(self.device)
        run: Callable[[Tensor], object] = module
        if self.name == "compile":
            # Exported first: the compiler keeps what it made by code, and modules of one class share theirs.
            run = torch.compile(torch.export.export(module, (x,)).module(), dynamic=False)
        if self.device.type != "cuda":
            return lambda: run(x)

        def call() -> None:
            run(x)
            torch.cuda.synchronize()

        return call

    def onnx_call(self, model: bytes, module: nn.Module, x: Tensor) -> Call:
        """A call of a module's model in ONNX Runtime, from `images` to `result`."""
        runtime: Any = onnx_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        with torch.inference_mode():
            result = module(x)
        if not isinstance(result, torch.Tensor):
            raise InputError("`runtime` onnxruntime: measures what gives one tensor, as this head does not; use eager")
        # Bound: neither input nor output is copied or allocated in a call.
        binding = session.io_binding()
        binding.bind_ortvalue_input(INPUT, runtime.OrtValue.ortvalue_from_numpy(x.numpy()))
        binding.bind_ortvalue_output(OUTPUT, runtime.OrtValue.ortvalue_from_numpy(result.numpy()))
        return lambda: session.run_with_iobinding(binding)

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """What measuring needs: inference only, the runtime's threads, an allocator that keeps freed memory.

        glibc gives the memory of large maps back to the system after each use, or not, as its history has it; new pages
        then cost up to half of a network's time in one process and nothing in another.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        _keep_memory(True)
        try:
            with torch.inference_mode():
                yield
        finally:
            _keep_memory(False)
            torch.set_num_threads(threads)


def device_name(device: torch.device) -> str:
    """The device as its maker calls it, e.g. `AMD EPYC 7B13, x86_64`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        fields = (line.partition(":") for line in lines)
        model = next((value.strip() for name, _, value in fields if name.strip() == "model name"), "")
    return f"{model or platform.processor() or 'unknown processor'}, {platform.machine()}"[:200]


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's parameters


def _keep_memory(keep: bool) -> None:
    """Lets glibc keep all freed memory, or no more than it comes to keep by itself; nothing elsewhere."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 1 << 30 if keep else 32 << 20)
    libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1 if keep else 64 << 20)
    if not keep:
        libc.malloc_trim(0)
