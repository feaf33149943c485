"""How fast the training step is: arrays of the true shapes, no data set, no TensorFlow."""
