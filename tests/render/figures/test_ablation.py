from __future__ import annotations

from universal_neurons.render.figures.ablation import twin_name


def test_every_threshold_has_a_figure_of_its_own() -> None:
    thresholds = (0.4, 0.5, 0.6, 0.03, 0.05, 0.04, 0.45, 0.00001)
    names = [twin_name(threshold) for threshold in thresholds]
    assert names[:3] == ["twin-4", "twin-5", "twin-6"]
    assert len(set(names)) == len(thresholds)
