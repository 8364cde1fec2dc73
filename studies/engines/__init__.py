"""Who evaluates candidates: this process, others on this machine, Ray's actors."""
