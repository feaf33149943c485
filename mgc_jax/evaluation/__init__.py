"""How good a model is: the evaluation step, metrics, and the results that a run keeps."""
