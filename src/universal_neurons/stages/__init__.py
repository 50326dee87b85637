"""Stages: every table of a suite, how it is computed, planned, read and compared.

One module per table, each with one :class:`~universal_neurons.stages.base.Stage` or a few that are computed together.
:mod:`.registry` lists them in the order in which data flows.
"""
