"""Artifacts of computations: keys, payloads, manifests, provenance, the store, and exchange with others."""
