"""Private: how models are compiled, trained, evaluated."""
