"""Les corpus du cours : le micro-monde, dont la loi est connue, et le texte de l’utilisateur."""

from course_lib.corpora.microworld.judge import RULES, Verdict, is_story, judge_story
from course_lib.corpora.microworld.kernel import Draw
from course_lib.corpora.microworld.splits import SPLITS, split_of
from course_lib.corpora.microworld.stories import (
    SKILLS,
    Meaning,
    Probe,
    Story,
    generate_stories,
    story_entropy,
)
from course_lib.corpora.microworld.story_reader import Fault
from course_lib.corpora.microworld.translation import (
    PAIR_SPLITS,
    famous_pair,
    generate_pairs,
    minimal_pairs,
)
from course_lib.corpora.microworld.translation_rendering import (
    NO_COUNTERPART,
    Clause,
    TranslationPair,
    detokenize_french,
)
from course_lib.corpora.user_text import read_text

__all__ = [
    "NO_COUNTERPART",
    "PAIR_SPLITS",
    "RULES",
    "SKILLS",
    "SPLITS",
    "Clause",
    "Draw",
    "Fault",
    "Meaning",
    "Probe",
    "Story",
    "TranslationPair",
    "Verdict",
    "detokenize_french",
    "famous_pair",
    "generate_pairs",
    "generate_stories",
    "is_story",
    "judge_story",
    "minimal_pairs",
    "read_text",
    "split_of",
    "story_entropy",
]
