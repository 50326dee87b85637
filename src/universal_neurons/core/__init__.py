"""The numerical heart: activations, their moments, null models and universality scores (torch only)."""
