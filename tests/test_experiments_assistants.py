"""L’assistant et ses élèves : la commande de bout en bout, ce qui est livré, et son relevé."""

from dataclasses import replace

import pytest

from course_experiments import assistants
from course_experiments.assistants import ASSISTANT, SMALL, STUDENTS, Plan
from course_lib.models import load_assistants, load_petit_llm
from course_lib.transformer import count_parameters

TINY = Plan(
    n_questions=8,
    tuning_steps=2,
    n_stories=8,
    distillation_steps=4,
    batch_size=2,
    every=2,
    n_held_out=4,
    n_asked=5,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assistants")
    assert command(folder, "0") == 0
    return folder


def command(folder, *seeds):
    tiny = replace(assistants.EXPERIMENT, settings=TINY)
    return tiny.main(["--output", str(folder / "assistants.json"), "--seeds", *seeds])


def test_the_command_ships_what_it_measured(folder):
    record = assistants.load_results(folder / "assistants.json")["runs"]
    assert set(record) == {ASSISTANT, *STUDENTS}
    teacher, student, tokenizer = load_assistants(folder)
    for name, model in ((ASSISTANT, teacher), (SMALL, student)):
        found = assistants.measure_assistant(model, TINY, tokenizer)
        assert found["parameters"] == record[name]["0"]["parameters"] == count_parameters(model)
        assert found["kl"] == pytest.approx(record[name]["0"]["kl"], rel=0.01)  # arrondi en F16
    # Chaque leçon laisse un élève différent.
    assert len({record[name]["0"]["kl"] for name in STUDENTS}) == len(STUDENTS)


def test_an_interrupted_command_only_does_what_is_missing(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        assistants, "tune_assistant", lambda plan, seed: asked.append(seed) or 1 / 0
    )
    command(folder, "0")
    assert asked == []
    with pytest.raises(ZeroDivisionError):
        command(folder, "0", "1")
    assert asked == [1]


def test_a_missing_model_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"de l’assistant .*experiments\.assistants"):
        load_assistants(tmp_path)


@pytest.mark.slow
def test_shipped_assistants_are_those_of_the_record():
    """Reprise sur moins d’histoires et de questions : de quoi voir un autre fichier."""
    runs = assistants.load_results()["runs"]
    assert all(set(runs[name]) >= {"0", "1", "2"} for name in (ASSISTANT, *STUDENTS))
    teacher, student, tokenizer = load_assistants()
    assert tokenizer.to_json() == load_petit_llm()[1].to_json()
    plan = Plan(n_held_out=40, n_asked=60)
    for name, model in ((ASSISTANT, teacher), (SMALL, student)):
        run, found = runs[name]["0"], assistants.measure_assistant(model, plan, tokenizer)
        assert found["parameters"] == run["parameters"]
        assert found["exact"] == pytest.approx(run["exact"], abs=0.06)
        assert found["kl"] == pytest.approx(run["kl"], abs=0.7)
