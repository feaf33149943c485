"""A trained run as a folder that stands on its own: weights, encoder, constants, a program, a model card."""
