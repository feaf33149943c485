"""Files: written whole, read with care, on this disk or in a bucket."""
