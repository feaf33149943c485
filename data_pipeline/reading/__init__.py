"""Sharded data set -> numpy batches."""
