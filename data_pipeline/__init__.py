"""From raw music to numpy batches: the only code that touches TensorFlow, TFDS and librosa."""
