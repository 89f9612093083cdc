"""Les questions sur les histoires : la réponse y est écrite, les sortes alternent."""

import pytest

from course_lib.corpora import generate_stories
from course_lib.corpora.microworld.questions import KINDS, ask, generate_questions


def test_answers_are_in_the_story_and_kinds_alternate():
    questions = generate_questions(90, "test")
    assert [q.kind for q in questions[:4]] == [*KINDS, KINDS[0]]
    for question in questions:
        assert question.answer in question.story
        assert question.prompt.startswith(question.story) and question.prompt.endswith("Réponse :")
    assert len({q.story for q in questions}) == 90
    assert generate_questions(5, "test") == questions[:5]


def test_a_question_without_answer_is_not_asked():
    stolen = [s for s in generate_stories(200, "train") if s.meaning.place is None]
    kept = [s for s in generate_stories(200, "train") if s.meaning.thief is None]
    assert stolen and kept
    assert {ask(story, "place") for story in stolen} == {None}
    assert {ask(story, "thief") for story in kept} == {None}


def test_a_positive_number_is_needed():
    with pytest.raises(ValueError, match="n = 0"):
        generate_questions(0)
