"""A trained model that names the genres of songs."""
