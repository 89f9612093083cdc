"""Les métiers : un corpus dont le biais est choisi, donc connu, donc mesurable dans le modèle.

« Camille est secrétaire. Elle est très patiente et rentre à pied. » Tous ces métiers s’écrivent de
même aux deux genres, et les prénoms mixtes ne disent rien : le pronom ne dépend alors que de
P(elle | métier). Un prénom qui n’est pas mixte, lui, impose l’accord : « Léa est garagiste. Elle ».
Les proportions sont inventées pour l’expérience ; elles ne décrivent aucun pays.
"""

import math
from dataclasses import dataclass, replace

from course_lib.corpora.microworld.kernel import Adjective, Draw, capitalize, subject_pronoun
from course_lib.corpora.microworld.lexicon import LEXICON
from course_lib.corpora.microworld.splits import check_count

P_SHE = {
    "secrétaire": 0.95,
    "fleuriste": 0.9,
    "bibliothécaire": 0.85,
    "orthophoniste": 0.8,
    "vétérinaire": 0.7,
    "journaliste": 0.5,
    "architecte": 0.3,
    "capitaine": 0.1,
    "pilote": 0.1,
    "garagiste": 0.05,
}
TRADES = tuple(P_SHE)
MIXED_NAMES = ("Camille", "Claude", "Dominique", "Alix", "Sacha", "Charlie", "Maxime", "Eden")
GENDERED_SHARE = 0.3
ADJECTIVES = (
    Adjective("patient", "patiente"),
    Adjective("prudent", "prudente"),
    Adjective("courageux", "courageuse"),
    Adjective("joyeux", "joyeuse"),
    Adjective("bavard", "bavarde"),
    Adjective("discret", "discrète"),
    Adjective("généreux", "généreuse"),
    Adjective("curieux", "curieuse"),
)
ENDINGS = ("rentre à pied", "prend le bus", "aime son métier", "finit tard")


@dataclass(frozen=True, slots=True)
class Portrait:
    """Un texte et ce qu’il dit ; `log_prob` (nats) est celle de la loi d’origine.

    `mixed` : le prénom ne dit pas le genre ; `feminine` : le pronom est « elle ».
    """

    name: str
    trade: str
    feminine: bool
    mixed: bool
    adjective: Adjective
    ending: str
    log_prob: float

    @property
    def text(self) -> str:
        """Les deux phrases."""
        gender = "f" if self.feminine else "m"
        pronoun = capitalize(subject_pronoun(gender))
        described = f"{pronoun} est très {self.adjective.agree(gender)} et {self.ending}."
        return f"{prompt(self.name, self.trade)} {described}"


def prompt(name: str, trade: str, pronoun: str = "") -> str:
    """« Camille est pilote. », et de quoi attendre l’adjectif si un pronom est donné.

    ValueError si le métier n’est pas de ceux du corpus.
    """
    if trade not in P_SHE:
        raise ValueError(f"Métier reçu : {trade!r}. Choisissez parmi {', '.join(TRADES)}.")
    text = f"{name} est {trade}."
    return f"{text} {capitalize(pronoun)} est très" if pronoun else text


def write_portrait(draw: Draw) -> Portrait:
    """Écrit un portrait avec les tirages de `draw`, dont le compteur est remis à zéro."""
    draw.log_prob = 0.0
    trade = draw.choice(TRADES)
    feminine = draw.chance(P_SHE[trade])
    mixed = not draw.chance(GENDERED_SHARE)
    gendered = LEXICON.girls if feminine else LEXICON.boys
    name = draw.choice(MIXED_NAMES if mixed else gendered)
    adjective, ending = draw.choice(ADJECTIVES), draw.choice(ENDINGS)
    return Portrait(name, trade, feminine, mixed, adjective, ending, draw.log_prob)


def counterfactual(portrait: Portrait) -> Portrait:
    """Le même portrait à l’autre genre : prénom, pronom et adjectif changent ensemble.

    Un prénom mixte reste ; un prénom féminin devient le masculin de même rang, et l’inverse : le
    faire deux fois ne change rien. Source : Lu et al. 2018, arXiv:1807.11714, §4.
    """
    p_she, name = P_SHE[portrait.trade], portrait.name
    before, after = (p_she, 1 - p_she) if portrait.feminine else (1 - p_she, p_she)
    if not portrait.mixed:
        names, others = LEXICON.girls, LEXICON.boys
        if not portrait.feminine:
            names, others = others, names
        name = others[names.index(name)]
    log_prob = portrait.log_prob + math.log(after) - math.log(before)
    return replace(portrait, name=name, feminine=not portrait.feminine, log_prob=log_prob)


def generate_portraits(n: int, seed: int = 0, *, augmented: bool = False) -> list[Portrait]:
    """Tire `n` portraits, toujours les mêmes pour une graine ; ValueError si `n` est négatif.

    `augmented` : chacun est suivi de son contrefactuel, donc 2 n portraits, où chaque métier compte
    exactement autant de « elle » que de « il ».
    """
    check_count(n)
    draw = Draw(f"métiers/{seed}")
    portraits = []
    for _ in range(n):
        portraits.append(write_portrait(draw))
        if augmented:
            portraits.append(counterfactual(portraits[-1]))
    return portraits


def count_pronouns(portraits: list[Portrait]) -> dict[str, tuple[int, int]]:
    """Par métier, (« elle », total) parmi les portraits à prénom mixte."""
    counts = dict.fromkeys(TRADES, (0, 0))
    for portrait in portraits:
        if portrait.mixed:
            she, total = counts[portrait.trade]
            counts[portrait.trade] = (she + portrait.feminine, total + 1)
    return counts
