"""Classification of pictures that an attack changed."""
