"""What a network meets when it is shipped: runtimes, exported files, latency."""
