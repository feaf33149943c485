"""Where a run is and what it leaves: workdir, checkpoints, weights file, addresses, the hub."""
