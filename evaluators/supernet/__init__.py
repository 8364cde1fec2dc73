"""Weight sharing: one set of tensors that every architecture of a space is a view of."""
