"""Contamination et chaîne de nettoyage : ce qui est vu, ce qui passe, ce qui est compté."""

from dataclasses import replace

import pytest

from course_lib.cleaning import STEP_NAMES, clean, standard_steps
from course_lib.cleaning.contamination import MIN_COVERAGE, ContaminationIndex
from course_lib.cleaning.pipeline import Step, apply_step
from course_lib.corpora import generate_stories
from course_lib.corpora.web import Page, Truth, generate_web
from course_lib.corpora.web.damage import SYNONYMS, paraphrase

TESTS = [story.text for story in generate_stories(199, "test")]
INDEX = ContaminationIndex(TESTS)


@pytest.fixture(scope="module")
def web():
    return generate_web(1009, seed=1)


@pytest.fixture(scope="module")
def report(web):
    return clean(web, standard_steps(TESTS), progress=False)


def test_coverage_by_hand():
    index = ContaminationIndex(["a b c d e", "x y z"], n=3)
    assert index.coverage("a b c d") == (0, pytest.approx(2 / 3))
    assert index.coverage("w x y z w") == (1, 1.0)
    assert index.coverage("a b x y") == (None, 0.0)
    assert ContaminationIndex(["court"], n=13).coverage("Court !") == (0, 1.0)


def test_copies_are_found_and_the_threshold_counts():
    pages = [f"Avant. {TESTS[7]} Après.", generate_stories(1)[0].text]
    (test, share), (_, other) = map(INDEX.coverage, pages)
    assert (test, share) == (7, 1.0)
    assert other < MIN_COVERAGE


@pytest.mark.slow
def test_one_shared_run_is_not_a_leak():
    """Deux histoires indépendantes partagent souvent treize mots : la règle la plus stricte accuse
    des pages innocentes, et la part couverte les distingue."""
    innocent = [story.text for story in generate_stories(397)]
    shares = [INDEX.coverage(text)[1] for text in innocent]
    assert sum(share > 0 for share in shares) > 40
    assert sum(share >= MIN_COVERAGE for share in shares) <= 4


def test_paraphrases_get_through():
    stories = generate_stories(199, "test")
    redone = [paraphrase(s.text, s.meaning.hero, "Ursule") for s in stories]
    assert len(SYNONYMS) > 15
    assert sum(INDEX.coverage(text)[1] >= MIN_COVERAGE for text in redone) < 20


def test_steps_see_what_they_should(report):
    by_name = {step.name: step for step in report.steps}
    assert [step.name for step in report.steps] == list(STEP_NAMES)
    assert by_name["encoding"].precision == 1.0 and by_name["encoding"].recall > 0.9
    assert by_name["language"].recall == 1.0
    assert by_name["boilerplate"].recall > 0.95
    assert by_name["quality"].recall == 1.0
    assert by_name["exact"].precision > 0.98 and by_name["exact"].recall > 0.98
    assert by_name["near"].precision == 1.0 and 0.6 < by_name["near"].recall < 1
    assert by_name["privacy"].precision == 1.0 and 0.8 < by_name["privacy"].recall < 1
    # ce que la contamination manque : les paraphrases, et elles seules à peu près
    assert by_name["contamination"].precision > 0.9
    assert 0.5 < by_name["contamination"].recall < 0.95
    left = {page.truth.leak for page in report.kept if page.truth.kind == "leak"}
    assert left == {"paraphrase"}


def test_pages_are_counted_once(web, report):
    n = len(web)
    for step in report.steps:
        assert step.n_before == n
        assert not set(step.removed) & set(step.changed)
        n -= len(step.removed)
    assert n == len(report.kept)
    assert web == generate_web(1009, seed=1)  # les pages reçues n’ont pas bougé


def test_kept_pages_are_clean(report):
    assert all("@" not in page.text for page in report.kept)
    assert {page.truth.language for page in report.kept} == {"fr"}
    assert not any(page.truth.kind == "spam" for page in report.kept)
    restored = [p for p in report.kept if p.truth.flaws == {"mojibake"} and not p.truth.private]
    assert restored and all(page.text == page.truth.undamaged for page in restored)


def test_order_matters(web):
    """Menus d’abord, doublons ensuite : on ôte plus de copies que dans l’ordre inverse."""
    good = clean(web, standard_steps(TESTS, ("boilerplate", "exact")), progress=False)
    bad = clean(web, standard_steps(TESTS, ("exact", "boilerplate")), progress=False)
    assert len(good.kept) < len(bad.kept)


def test_report_of_a_step_by_hand():
    def page(url, text, source, kind="story"):
        return Page(url, text, Truth(kind, source))

    pages = [page("1", "a", "x", "duplicate"), page("2", "b", "x"), page("3", "c", "y")]
    step = Step(
        "essai",
        lambda texts: [None, texts[1].upper(), texts[2]],
        lambda truths: [truth.source == "x" and truth.kind == "story" for truth in truths],
    )
    kept, report = apply_step(pages, step)
    assert kept == [replace(pages[1], text="B"), pages[2]]
    assert (report.removed, report.changed) == (("1",), ("2",))
    assert (report.precision, report.recall) == (0.5, 1.0)
    idle = apply_step(pages, Step("rien", list, lambda truths: [False] * 3))[1]
    assert idle.precision is None and idle.recall is None


def test_unknown_step():
    with pytest.raises(ValueError, match=r"'lessive'.*encoding"):
        standard_steps(TESTS, ("lessive",))


def test_no_page_at_all():
    assert clean([], standard_steps(TESTS), progress=False).kept == ()
