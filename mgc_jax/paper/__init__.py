"""The paper's tables: their rows, their runs, and ours beside the printed figures."""
