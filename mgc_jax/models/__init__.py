"""The networks: they know arrays and nothing else."""
