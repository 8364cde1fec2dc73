"""How training pictures are altered."""
