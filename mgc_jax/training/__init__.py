"""Training: the loop, the fused step, what it optimises, and the batches on their way to the devices."""
