"""La distillation du petit LLM : chaque élève a la taille dite, et se mesure de bout en bout."""

from dataclasses import asdict, replace

import pytest

from course_experiments import distilling
from course_experiments.classroom import MODES, TAUGHT, Budget, open_classroom, student_shape
from course_lib.transformer import count_parameters, llama

TINY = Budget(
    batch_size=2,
    data_width=16,
    data_steps=3,
    width_steps=3,
    n_held_out=4,
    n_questions=6,
    question_steps=2,
    top_k=5,
    n_asked=6,
    n_texts=3,
    max_new_tokens=140,
    own_texts=0.5,
)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return open_classroom(0, TINY, tmp_path_factory.mktemp("réponses"))


def test_students_are_narrow_teachers():
    sizes = {w: count_parameters(llama(student_shape(w), 0)) for w in distilling.WIDTHS}
    assert list(sizes.values()) == sorted(sizes.values())
    assert sizes[48] < 0.25 * 524_928  # les trois quarts des paramètres en moins
    for width in distilling.WIDTHS:
        assert student_shape(width).vocab_size == 1536


@pytest.mark.parametrize("mode", MODES)
def test_a_tiny_student_from_end_to_end(room, mode):
    found = distilling.run_width(room, 16, mode)
    assert set(found) == {"parameters", "kl", "quality", "skills", "cpu_seconds", "exact"}
    assert 0 <= found["exact"] <= 1 and found["quality"] == pytest.approx(
        sum(found["skills"].values()) / 8
    )


def test_settings_change_what_the_student_learns(room):
    plain, hot = (distilling.run_data(room, 6, TAUGHT, temperature=t)["kl"] for t in (1.0, 4.0))
    assert plain != hot


@pytest.mark.slow
@pytest.mark.parametrize("way", distilling.WAYS)
def test_every_way_teaches_something(room, way):
    found = distilling.run_way(room, way)
    assert found["parameters"] == 29_776  # les projections ne comptent pas
    assert found["kl"] > 0


def test_the_teacher_is_measured_like_its_students(room):
    found = distilling.run_teacher(room)
    assert found["parameters"] == 524_928
    assert found["quality"] > 0.9


def test_every_trial_is_named_once():
    names = list(distilling.trials())
    assert len(names) == len(set(names)) == 36
    assert "largeur 48 avec" in names and "réglage 1 0.5" in names


def test_the_shipped_record_holds_three_seeds_of_every_trial():
    content = distilling.load_results()
    assert content["settings"] == asdict(Budget())
    assert set(content["runs"]) == set(distilling.trials())
    for name, runs in content["runs"].items():
        assert set(runs) >= {"0", "1", "2"}, name
        for run in runs.values():
            assert run["kl"] > 0 and run["quality"] == pytest.approx(
                sum(run["skills"].values()) / 8, abs=1e-3
            )
    for width in distilling.WIDTHS:
        size = count_parameters(llama(student_shape(width), 0))
        assert {run["parameters"] for run in content["runs"][f"largeur {width} sans"].values()} == {
            size
        }


def test_a_seed_opens_its_class_once(tmp_path, room, monkeypatch):
    opened = []
    monkeypatch.setattr(distilling, "open_classroom", lambda *args: opened.append(args) or room)
    distilling.room_of.cache_clear()
    names = ["enseignant", "données 100 sans"]
    tiny = replace(distilling.EXPERIMENT, settings=TINY, names=names)
    assert tiny.run([0, 1], tmp_path / "distilling.json") == 4
    distilling.room_of.cache_clear()
    assert [args[:2] for args in opened] == [(0, TINY), (1, TINY)]
    assert not opened[0][2].exists() and opened[1][2].exists()
    distilling._folders.close()
    assert not opened[1][2].exists()
