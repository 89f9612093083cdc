"""Du « tu » au « vous » par SmolLM2 : l’adaptateur livré, et ce que dit son relevé."""

import pytest

from course_lib.corpora.polite_forms import NEW_OBJECTS, NEW_VERBS, SAME_VERB, generate_polite_forms
from course_lib.evaluation.answers import exact_answers
from course_lib.experiments import polite_forms
from course_lib.finetuning import AnswerExamples, detach_adapters, load_adapter, weight_fingerprint
from course_lib.pretrained import load_pretrained
from course_lib.pretrained.store import smollm2_path


@pytest.fixture(scope="module")
def forms():
    return generate_polite_forms(seed=0)


@pytest.fixture(scope="module")
def smollm():
    return load_pretrained(smollm2_path(), context_length=64)


def test_shipped_adapter_rewrites_what_it_is_said_to(smollm, forms):
    model, tokenizer = smollm.model, smollm.tokenizer
    before = weight_fingerprint(model)
    load_adapter(model, polite_forms.ADAPTER)
    chosen = [tests[k] for tests in forms.tests.values() for k in range(2)]
    examples = AnswerExamples(polite_forms.as_examples(chosen, tokenizer), 6)
    written = polite_forms.rewrite(model, tokenizer, [form.familiar for form in chosen])
    # Une lecture suffit à savoir ce qu’écrirait le choix glouton.
    assert exact_answers(model, examples) == [
        text == form.polite for text, form in zip(written, chosen, strict=True)
    ]
    assert sum(text == form.polite for text, form in zip(written, chosen, strict=True)) >= 2
    detach_adapters(model)
    assert weight_fingerprint(model) == before


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
