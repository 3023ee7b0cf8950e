"""Long repetitions: `make soak` runs them, `make test` does not."""
