"""What a user chooses from: runtimes, and the formats of an export. Without torch, for a command's help shows it."""

RUNTIMES = ("eager", "compile", "onnxruntime")
INT8 = "int8"
COMPARED = (*RUNTIMES, INT8)
"""torch eagerly, torch's compiler, ONNX Runtime, and ONNX Runtime on 8-bit integers."""
ROUNDS = 20
"""Times that each piece or network has its turn when its latency is measured."""
FORMATS = ("onnx", "safetensors", "torchscript", "timm", "int8")


def parse_formats(text: str) -> tuple[str, ...]:
    """Formats such as `onnx,timm`; `int8` brings the `onnx` that it is made from. Raises ValueError for others."""
    names = dict.fromkeys(text.split(","))
    for name in names:
        if name not in FORMATS:
            raise ValueError(f"{name or 'nothing'} is no format; expected any of {','.join(FORMATS)}")
    if "int8" in names:
        names = {"onnx": None, **names}
    return tuple(names)


def compared_runtimes(text: str) -> tuple[str, ...]:
    """Runtimes such as `eager,int8`. Raises ValueError for an unknown one."""
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in COMPARED:
            raise ValueError(f"{name or 'nothing'} is no runtime; expected any of {','.join(COMPARED)}")
    return names


NEURON_BUDGETS = (0.001, 0.003, 0.01, 0.03)
"""Bounds on the mean squared change of pictures towards simulated neurons, of values from 0 to 1."""
NEURON_PICTURES = 100
"""That are changed so where no other number is said."""
