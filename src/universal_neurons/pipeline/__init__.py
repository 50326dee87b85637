"""Every stage of the computation: the only package that binds inputs, core and store.

A stage is a key, a computation and an artifact; one module each, put in order by :mod:`.stages`.
"""
