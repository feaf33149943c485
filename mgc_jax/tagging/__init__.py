"""Genres that a model names, written into the tags of songs, and taken back."""
