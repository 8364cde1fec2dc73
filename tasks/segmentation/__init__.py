"""The task `segmentation`: a class for every pixel."""
