"""Spaces of small networks, as files have them, for tests of whole commands."""

SMALL_96 = """name = "small-96"
resolution = [48]
activation = "relu6"
stem = { width = 8, stride = 2 }

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
stride = 1
width = [16, 20]
depth = [1, 2]
expansion = [2]
kernel_size = [3]
attention = ["none", "se/4"]
"""
