"""From settings to a network: the model built, its state sharded, its kernels chosen."""
