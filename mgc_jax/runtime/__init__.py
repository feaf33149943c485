"""What a program runs on: mesh, processes, signals, progress, the compilation cache."""
