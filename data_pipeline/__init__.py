"""From raw music to numpy batches: the only code that touches TensorFlow and TFDS."""
