"""N3: the nine entries of table 1.

Rule (catalogue, N3 and Decision rules): each cell matches if the published value lies in the 95 % interval or within
max(0.5 percentage points, 10 %) of ours. The numbers are about GPT-2 Small, so on mini they are measured and shown
but not judged. A rank correlation over the nine cells would not do instead: any table falls with the threshold. What
of the table can be asked of other models, that its rows rise and level off, is N2, N4 and N5.
"""

from universal_neurons.harness import Measurement, Near, NotJudged, Published, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.study import Study, null_tables
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import definition_share


@claim(
    "N3",
    "The percentages of universal neurons are those of table 1, mean over the pairs of model a.",
    source="Nandan et al. 2025 v1, table 1",
    # Each item looks up its own cell: the labels name the axes whose values they stand for.
    expect=Near(Published("nandan2025.table1", threshold="threshold", step="checkpoint"), absolute=0.005, relative=0.1),
    on={"mini": NotJudged("the nine percentages are about GPT-2 Small; their trend is judged by N2, N4 and N5")},
    family="emergence",
    axes={"checkpoint": ("25 %", "50 %", "75 %"), "threshold": (0.4, 0.5, 0.6)},
)
def test_the_entries_of_table_1(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return definition_share(study.reference_tables(checkpoint=checkpoint), Definition.PAIR, threshold)


@control(of=test_the_entries_of_table_1)
def test_untrained_models_do_not_have_the_entries_of_table_1(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Fails if the tolerance is so wide that models without any training match."""
    return definition_share(null_tables(study, checkpoint=checkpoint, kind="untrained"), Definition.PAIR, threshold)
