"""Networks that act: an agent's picture in, what it does out, judged by its return on levels it never trained on."""
