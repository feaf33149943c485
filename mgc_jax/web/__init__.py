"""A local web page on which a song gets its genres and their reasons."""
