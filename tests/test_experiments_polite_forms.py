"""Du « tu » au « vous » par SmolLM2 : l’adaptateur livré, et ce que dit son relevé."""

import pytest

from course_experiments import polite_forms
from course_lib.corpora.sentences.polite_forms import (
    NEW_OBJECTS,
    NEW_VERBS,
    SAME_VERB,
    generate_polite_forms,
)


@pytest.fixture(scope="module")
def forms():
    return generate_polite_forms(seed=0)


def test_the_record_holds_three_seeds_and_every_test(forms):
    runs = polite_forms.load_results()["runs"]["SmolLM2"]
    assert set(runs) >= {"0", "1", "2"}
    for run in runs.values():
        assert run["trained"] == 460_800
        for field in ("baseline", "before", "after"):
            assert set(run[field]) == {NEW_OBJECTS, NEW_VERBS, SAME_VERB}
        assert run["bits_detached"] == run["bits_before"]


def test_the_baseline_of_the_record_is_remade(forms):
    shipped = polite_forms.load_results()["runs"]["SmolLM2"]["0"]["baseline"]
    assert polite_forms.baseline_shares(forms) == pytest.approx(shipped, abs=1e-4)
