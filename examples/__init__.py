"""Examples; a package, so that `from examples.… import …` finds these from the repository's root, and no others."""
