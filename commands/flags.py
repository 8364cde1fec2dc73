"""What flags of several commands say."""

SKIP_CORRUPT = "pass over pictures that cannot be decoded, and say how many"
LOADERS = "processes that decode pictures (default: one a processor)"
INIT = "first weights: scratch, torchvision (published ones of ImageNet), or auto (these, if on the disk)"
