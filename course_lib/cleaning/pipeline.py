"""La chaîne de nettoyage : des étapes dans un ordre, et ce que chacune a ôté, changé, manqué.

L’ordre compte. On répare l’encodage avant de lire la langue, et l’on ôte les menus avant de
chercher les doublons : deux copies d’un texte sous deux menus ne sont pas des doublons exacts.
Chaque étape est jugée sur les pages qui lui parviennent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tqdm.auto import tqdm

from course_lib.cleaning.contamination import MIN_COVERAGE as MIN_TEST_COVERAGE
from course_lib.cleaning.contamination import ContaminationIndex
from course_lib.cleaning.encoding import repair, unreadable_share
from course_lib.cleaning.exact import exact_duplicates
from course_lib.cleaning.language import default_identifier
from course_lib.cleaning.minhash import near_duplicates
from course_lib.cleaning.privacy import mask
from course_lib.cleaning.quality import common_lines, failed_rules, strip_lines
from course_lib.corpora.web.pages import Page, Truth

STEP_NAMES = (
    "encoding",
    "language",
    "boilerplate",
    "quality",
    "exact",
    "near",
    "privacy",
    "contamination",
)
MAX_UNREADABLE = 0.002
MIN_BOILERPLATE_PAGES, MIN_BOILERPLATE_SHARE = 10, 0.005
DAMAGES = {"mojibake", "mojibake_latin1", "double_mojibake", "replacement"}

# Une étape reçoit les textes et rend, pour chacun, le texte nouveau ou None s’il est ôté.
Action = Callable[[Sequence[str]], list[str | None]]
# La vérité d’une étape : faut-il agir sur chaque page ?
Target = Callable[[Sequence[Truth]], list[bool]]


@dataclass(frozen=True)
class Step:
    """Une étape : son nom, ce qu’elle fait, ce qu’elle devrait faire."""

    name: str
    action: Action
    target: Target


@dataclass(frozen=True)
class StepReport:
    """Le relevé d’une étape, sur les `n_before` pages qui lui parviennent.

    `removed` et `changed` : adresses des pages ôtées et modifiées ; `n_due` : pages qui méritaient
    l’un ou l’autre ; `n_hits` : celles-là que l’étape a vues.
    """

    name: str
    n_before: int
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    n_due: int
    n_hits: int

    @property
    def precision(self) -> float | None:
        """Part des pages touchées qui le méritaient ; None si aucune n’est touchée."""
        touched = len(self.removed) + len(self.changed)
        return self.n_hits / touched if touched else None

    @property
    def recall(self) -> float | None:
        """Part des pages qui le méritaient et qui sont touchées ; None s’il n’y en avait pas."""
        return self.n_hits / self.n_due if self.n_due else None


@dataclass(frozen=True)
class Report:
    """Les pages gardées, sous leur forme nettoyée, et le relevé de chaque étape."""

    kept: tuple[Page, ...]
    steps: tuple[StepReport, ...]


def clean(pages: Sequence[Page], steps: Sequence[Step], progress: bool = True) -> Report:
    """Applique les étapes dans l’ordre ; les pages reçues ne sont pas modifiées."""
    kept, reports = list(pages), []
    for step in tqdm(steps, desc="Nettoyage", leave=False, disable=not progress):
        kept, report = apply_step(kept, step)
        reports.append(report)
    return Report(tuple(kept), tuple(reports))


def apply_step(pages: Sequence[Page], step: Step) -> tuple[list[Page], StepReport]:
    """Applique une étape : (pages gardées, relevé)."""
    texts = step.action([page.text for page in pages])
    due = step.target([page.truth for page in pages])
    kept, removed, changed, hits = [], [], [], 0
    for page, text, deserved in zip(pages, texts, due, strict=True):
        if text != page.text:
            (removed if text is None else changed).append(page.url)
            hits += deserved
        if text is not None:
            kept.append(page if text == page.text else replace(page, text=text))
    return kept, StepReport(step.name, len(pages), tuple(removed), tuple(changed), sum(due), hits)


def standard_steps(
    test_texts: Sequence[str], names: Sequence[str] = STEP_NAMES
) -> tuple[Step, ...]:
    """Les étapes du cours, dans l’ordre de `names` ; `test_texts` sert à la contamination.

    Erreur : ValueError si un nom n’est pas l’un de `STEP_NAMES`.
    """
    known = {
        "encoding": (_fix_encoding, _each(lambda truth: bool(truth.flaws & DAMAGES))),
        "language": (_keep_french, _each(lambda truth: truth.language != "fr")),
        "boilerplate": (_strip_boilerplate, _each(lambda truth: "boilerplate" in truth.flaws)),
        "quality": (_keep_good, _each(_is_poor)),
        "exact": (_keep_first(exact_duplicates), _copies({"duplicate", "leak"})),
        "near": (_keep_first(near_duplicates), _copies({"duplicate", "near_duplicate", "leak"})),
        "privacy": (lambda texts: [mask(text) for text in texts], _each(lambda t: bool(t.private))),
        "contamination": (_drop_leaks(test_texts), _each(lambda truth: truth.kind == "leak")),
    }
    for name in names:
        if name not in known:
            raise ValueError(f"Étape reçue : {name!r}. Choisissez parmi {', '.join(STEP_NAMES)}.")
    return tuple(Step(name, *known[name]) for name in names)


def _each(judge: Callable[[Truth], bool]) -> Target:
    return lambda truths: [judge(truth) for truth in truths]


def _copies(kinds: set[str]) -> Target:
    """Une page est de trop si une page déjà vue dit la même chose.

    Le premier venu peut être la copie : c’est alors l’original qui est de trop. `kinds` limite les
    copies que l’étape est censée voir.
    """

    def judge(truths: Sequence[Truth]) -> list[bool]:
        seen: set[str] = set()
        due = []
        for truth in truths:
            relevant = truth.kind in kinds | {"story"}
            due.append(relevant and truth.source in seen)
            if relevant:
                seen.add(truth.source)
        return due

    return judge


def _is_poor(truth: Truth) -> bool:
    return truth.kind == "spam" or "lost_accents" in truth.flaws


def _fix_encoding(texts: Sequence[str]) -> list[str | None]:
    repaired = [repair(text) for text in texts]
    return [text if unreadable_share(text) <= MAX_UNREADABLE else None for text in repaired]


def _keep_french(texts: Sequence[str]) -> list[str | None]:
    """Une page sans lettre n’a pas de langue : la règle de qualité s’en chargera."""
    identify = default_identifier().identify
    return [
        text if not any(map(str.isalpha, text)) or identify(text).language == "fr" else None
        for text in texts
    ]


def _strip_boilerplate(texts: Sequence[str]) -> list[str | None]:
    common = common_lines(
        texts, max(MIN_BOILERPLATE_PAGES, int(MIN_BOILERPLATE_SHARE * len(texts)))
    )
    return [strip_lines(text, common) or None for text in texts]


def _keep_good(texts: Sequence[str]) -> list[str | None]:
    return [None if failed_rules(text) else text for text in texts]


def _keep_first(find: Callable[[Sequence[str]], list[int]]) -> Action:
    def act(texts: Sequence[str]) -> list[str | None]:
        firsts = find(texts)
        return [text if firsts[i] == i else None for i, text in enumerate(texts)]

    return act


def _drop_leaks(test_texts: Sequence[str]) -> Action:
    def act(texts: Sequence[str]) -> list[str | None]:
        index = ContaminationIndex(test_texts)
        return [None if index.coverage(text)[1] >= MIN_TEST_COVERAGE else text for text in texts]

    return act
