"""Spaces of small networks, as files have them, for tests of whole commands."""


def small_space(name: str, stride: int) -> str:
    """Two stages for 48 pixels, the second with that stride."""
    return f"""name = "{name}"
resolution = [48]
activation = "relu6"
stem = {{ width = 8, stride = 2 }}

[[stage]]
block = "inverted_residual"
stride = 2
width = [8, 12]
depth = [1]
expansion = [2]
kernel_size = [3]
attention = ["none", "ca/4"]

[[stage]]
block = "inverted_residual"
stride = {stride}
width = [16, 20]
depth = [1, 2]
expansion = [2]
kernel_size = [3]
attention = ["none", "se/4"]
"""


SMALL_96 = small_space("small-96", 1)
