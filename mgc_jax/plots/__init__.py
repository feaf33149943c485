"""Pictures: arrays in, matplotlib figures out, in one style."""
