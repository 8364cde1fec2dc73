"""IMPALA's encoder (arXiv:1802.01561): the usual network of agents that act by pictures, to compare found ones with."""
