"""Un micro-web sale à dessein : des pages, et pour chacune la vérité de ce qu’elle a subi.

Les micro-histoires du cours y sont recopiées, retouchées, noyées sous les menus, mal encodées,
signées de coordonnées inventées ; on y trouve aussi d’autres langues, du remplissage et des
histoires du jeu de test, qui n’auraient pas dû y être. Comme chaque page dit ce qu’on lui a fait,
la précision et le rappel de chaque filtre se mesurent.

Répétitions connues : une page, une signature ou une fuite paraît 1, 10 ou 100 fois (voir
`roster`). Une page signée n’est jamais recopiée : le nombre de fois qu’une adresse électronique
se lit est exactement celui de sa signature.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from course_lib.corpora.microworld.lexicon import LEXICON
from course_lib.corpora.microworld.splits import check_count
from course_lib.corpora.microworld.stories import Story, generate_stories
from course_lib.corpora.web.damage import (
    add_title,
    damage_encoding,
    disguise_copy,
    excerpt,
    paraphrase,
    retouch,
)
from course_lib.corpora.web.material import (
    FOREIGN,
    HOSTS,
    SPAM,
    wrap_in_boilerplate,
    write_foreign,
)
from course_lib.corpora.web.people import OBFUSCATED_SHARE, disguise, draw_people, sign

KINDS = ("story", "duplicate", "near_duplicate", "foreign", "spam", "leak")
SHARES = {"duplicate": 0.15, "near_duplicate": 0.12, "foreign": 0.10, "spam": 0.10, "leak": 0.08}
SIGNED, BOILERPLATE, TITLED, DAMAGED = 0.12, 0.40, 0.30, 0.12
LEAK_FORMS = ("whole", "whole", "part", "paraphrase")


@dataclass(frozen=True, slots=True)
class Truth:
    """Ce qu’est vraiment une page.

    `kind` : l’un de `KINDS` ; `source` : le texte dont elle vient (deux pages de même source disent
    la même chose) ; `language` : « fr », « en », « es », « de » ou « it » ; `flaws` :
    « boilerplate » et le nom du dégât d’encodage ; `private` : les données personnelles, telles
    qu’écrites ; `author` : le nom du signataire ; `leak` : « whole », « part » ou « paraphrase » ;
    `undamaged` : le texte avant le dégât d’encodage ; `story` : l’histoire d’origine.
    """

    kind: str
    source: str
    language: str = "fr"
    flaws: frozenset[str] = frozenset()
    private: tuple[str, ...] = ()
    author: str | None = None
    leak: str | None = None
    undamaged: str = ""
    story: Story | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Une page du micro-web : son adresse, son texte, et la vérité à son sujet."""

    url: str
    text: str
    truth: Truth


def roster(total: int, tiers: Sequence[int] = (100, 10, 1)) -> list[int]:
    """Nombres de répétitions dont la somme est `total` : autant de pages à chaque palier.

    `roster(300)` donne une fois 100, dix fois 10 et cent fois 1. Un palier trop haut pour `total`
    est laissé de côté ; le dernier vaut 1.
    """
    counts, remaining = [], total
    for rank, tier in enumerate(tiers):
        n = remaining // (len(tiers) - rank) // tier
        counts += [tier] * n
        remaining -= tier * n
    return counts


class _Builder:
    """Le micro-web en cours d’écriture."""

    def __init__(self, n: int, seed: int):
        self.rng, self.pages = random.Random(f"web/{seed}"), []
        self.counts = {kind: int(share * n) for kind, share in SHARES.items()}
        self.counts["story"] = n - sum(self.counts.values())
        self.n_signed = int(SIGNED * n)
        self.stories = generate_stories(self.counts["story"], "train", seed)

    def finish(self, text: str, truth: Truth, dress: bool = True, damage: bool = True) -> None:
        """Habille, abîme et publie une page."""
        rng, flaws = self.rng, set(truth.flaws)
        if dress and rng.random() < BOILERPLATE:
            text = wrap_in_boilerplate(rng, text)
            flaws.add("boilerplate")
        undamaged = text
        if damage and rng.random() < DAMAGED:
            text, name = damage_encoding(rng, text)
            flaws.add(name)
        self.publish(text, replace(truth, flaws=frozenset(flaws), undamaged=undamaged))

    def publish(self, text: str, truth: Truth) -> None:
        url = f"https://{self.rng.choice(HOSTS)}/page-{len(self.pages):06d}"
        self.pages.append(Page(url, text, truth))

    def write_story(self, story: Story, source: str, signature=None, **options) -> None:
        text = story.text
        if self.rng.random() < TITLED:
            text = add_title(self.rng, text, story.meaning.hero)
        truth = Truth("story", source, story=story)
        if signature is not None:
            text = f"{text}\n{sign(self.rng, signature)}"
            truth = replace(truth, private=signature.private, author=signature.name)
        self.finish(text, truth, **options)

    def add_stories(self) -> None:
        """Les histoires : signées, recopiées, retouchées ou seules, sans recouvrement."""
        sources = iter(enumerate(self.stories))
        repeats = roster(self.n_signed)
        people = draw_people(self.rng, len(repeats))
        for person, count in zip(people, repeats, strict=True):
            if count == 1 and self.rng.random() < OBFUSCATED_SHARE:
                person = disguise(person)
            for _ in range(count):
                i, story = next(sources)
                self.write_story(story, f"train/{i}", person)
        for count in roster(self.counts["duplicate"]):
            i, story = next(sources)
            self.write_story(story, f"train/{i}", damage=False)
            self.copy_last(count)
        for count in roster(self.counts["near_duplicate"], (4, 1)):
            i, story = next(sources)
            self.write_story(story, f"train/{i}")
            for _ in range(count):
                text = add_title(self.rng, retouch(self.rng, story.text), story.meaning.hero)
                self.finish(text, Truth("near_duplicate", f"train/{i}", story=story))
        for i, story in sources:
            self.write_story(story, f"train/{i}")

    def copy_last(self, count: int) -> None:
        """Recopie `count` fois la dernière page, au mot près (voir `disguise_copy`)."""
        page = self.pages[-1]
        for _ in range(count):
            text = disguise_copy(self.rng, page.text)
            self.publish(text, replace(page.truth, kind="duplicate", undamaged=text))

    def add_leaks(self) -> None:
        """Les fuites : des histoires de test entières, en extrait ou redites."""
        repeats = roster(self.counts["leak"], (10, 1))
        for i, (story, count) in enumerate(zip(leaked_stories(len(repeats)), repeats, strict=True)):
            form = LEAK_FORMS[i % len(LEAK_FORMS)]
            text = story.text
            if form == "part":
                text = excerpt(self.rng, text)
            elif form == "paraphrase":
                names = LEXICON.girls if story.meaning.gender == "f" else LEXICON.boys
                others = [n for n in names if n not in (story.meaning.hero, story.meaning.other)]
                text = paraphrase(text, story.meaning.hero, self.rng.choice(others))
            for _ in range(count):
                self.finish(text, Truth("leak", f"test/{i}", leak=form, story=story))

    def add_noise(self) -> None:
        """Les autres langues et le remplissage."""
        for i in range(self.counts["foreign"]):
            language = self.rng.choice(list(FOREIGN))
            text = write_foreign(self.rng, language)
            self.finish(text, Truth("foreign", f"foreign/{i}", language))
        for i in range(self.counts["spam"]):
            name = self.rng.choice(list(SPAM))
            self.finish(SPAM[name](self.rng), Truth("spam", f"spam/{i}"), dress=False, damage=False)


def leaked_stories(n: int) -> list[Story]:
    """Les `n` premières histoires de test : celles que le micro-web laisse fuir."""
    return generate_stories(n, "test")


def generate_web(n: int, seed: int = 0) -> list[Page]:
    """Écrit un micro-web de `n` pages, mêlées, toujours le même pour une graine.

    Les histoires viennent du jeu « train » de cette graine ; les fuites, du jeu « test » de graine
    0. Erreur : ValueError si `n` est négatif.
    """
    check_count(n)
    builder = _Builder(n, seed)
    builder.add_stories()
    builder.add_leaks()
    builder.add_noise()
    pages = builder.pages
    builder.rng.shuffle(pages)
    return pages
