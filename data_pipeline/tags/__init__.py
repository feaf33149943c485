"""Collections of tagged files: which songs lie in a folder, what their tags say, and a manifest of them."""
