"""The commands: what each is told, what it does with it, and how it ends."""
