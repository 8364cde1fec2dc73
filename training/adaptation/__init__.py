"""A trained network made to fit pictures without labels, and without the pictures that it was trained on."""
