"""What belongs to a model and is not trained in its steps."""

from flax import nnx


class Constant(nnx.Variable):
    """A value of the model, and of its checkpoints, that gradients leave alone: the genre graph and its nodes, the wide
    path."""
