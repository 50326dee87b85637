"""The project's pytest plugin."""

pytest_plugins = ["universal_neurons.harness.plugin"]
