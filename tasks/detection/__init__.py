"""The task `detection`: boxes around things, each with its class."""
