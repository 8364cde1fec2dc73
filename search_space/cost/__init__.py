"""What a space's architectures cost, and how many meet a budget."""
