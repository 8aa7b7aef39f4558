"""Benchmarks as data: what their rows look like, how a row becomes a task, what is told of the answers."""
