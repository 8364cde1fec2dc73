"""How a command line names pictures, teachers and tasks. Without torch, for a command's help shows it."""

DATA = "digits, digits:clutter, cifar10[:ROOT], cifar100[:ROOT], fashion-mnist[:ROOT], folder:PATH, imagenet:PATH"
TEACHERS = "torchvision:NAME, timm:NAME, each also with =FILE for weights of your own, or a weights.safetensors"
METHOD = "labels"
"""The method where none is named."""

TASK = "classification"
"""The task where none is named. What a run or a file says of its task it says of another one only."""
