"""Raw corpus -> sharded data set."""
