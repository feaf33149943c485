"""Collections of tagged files: what their tags say, and a manifest of them."""
