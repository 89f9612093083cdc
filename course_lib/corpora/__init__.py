"""Les corpus du cours : le micro-monde, dont la loi est connue, et le texte de l’utilisateur."""

from course_lib.corpora.stories import (
    SKILLS,
    Meaning,
    Probe,
    Story,
    generate_stories,
    story_entropy,
)
from course_lib.corpora.user_text import read_text

__all__ = [
    "SKILLS",
    "Meaning",
    "Probe",
    "Story",
    "generate_stories",
    "read_text",
    "story_entropy",
]
