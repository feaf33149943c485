# For jax.jit(compiler_options=...): most of these tests' time is XLA optimising code that runs once.
QUICK = {"xla_backend_optimization_level": 0}
