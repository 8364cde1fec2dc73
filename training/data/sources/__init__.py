"""Where pictures come from: a file for each sort, which registers itself; `SPECS` is how a command names them."""
