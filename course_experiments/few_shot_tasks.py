"""Les tâches données par l’exemple à de vrais modèles : des couples, une façon de les écrire.

Les couples ont été choisis pour le cours : des mots courants, sans deux fois la même réponse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

Pair = tuple[str, str]


def _pairs(text: str) -> tuple[Pair, ...]:
    """« a=b, c=d » → couples."""
    return tuple((left, right) for left, right in (each.split("=") for each in text.split(", ")))


TRANSLATIONS = _pairs(
    "sea=mer, dog=chien, moon=lune, house=maison, bread=pain, book=livre, water=eau, king=roi, "
    "tree=arbre, night=nuit, cat=chat, red=rouge, milk=lait, bird=oiseau, school=école, fire=feu, "
    "hand=main, white=blanc, door=porte, sun=soleil, horse=cheval, friend=ami, city=ville, "
    "flower=fleur"
)
OPPOSITES = _pairs(
    "hot=cold, big=small, up=down, day=night, black=white, open=closed, rich=poor, left=right, "
    "old=young, fast=slow, happy=sad, early=late, strong=weak, hard=soft, full=empty, light=dark, "
    "high=low, true=false, wet=dry, first=last, love=hate, easy=difficult, good=bad, near=far"
)
CAPITALS = _pairs(
    "France=Paris, Spain=Madrid, Italy=Rome, Japan=Tokyo, Russia=Moscow, Egypt=Cairo, "
    "Greece=Athens, Germany=Berlin, China=Beijing, Portugal=Lisbon, Ireland=Dublin, Norway=Oslo, "
    "Sweden=Stockholm, Austria=Vienna, Poland=Warsaw, Hungary=Budapest, Cuba=Havana, Peru=Lima, "
    "Kenya=Nairobi, Iraq=Baghdad, Turkey=Ankara, Belgium=Brussels, Finland=Helsinki, "
    "Thailand=Bangkok"
)
FEMININES = _pairs(
    "le roi=la reine, le père=la mère, le frère=la sœur, le comte=la comtesse, "
    "le prince=la princesse, le marquis=la marquise, le duc=la duchesse, l'oncle=la tante, "
    "le fils=la fille, le neveu=la nièce, le mari=la femme, le berger=la bergère, "
    "le voisin=la voisine, le cousin=la cousine, le parrain=la marraine, le maître=la maîtresse, "
    "le vieillard=la vieille, le paysan=la paysanne, le chien=la chienne, "
    "le boulanger=la boulangère, l'empereur=l'impératrice, le baron=la baronne, "
    "le chat=la chatte, le loup=la louve"
)
WORDS = {
    "keys": "bif dof zan pib mur vel zer lom gat nup tav rig sob fen kad wis",
    "things": "moon salt king sea bread wolf fire key wind bed bag wood nest wall tea milk",
    "objects": "rose clef lettre pomme plume montre lampe pierre bague épée fleur chaise corde "
    "carte rente canne",
}
KEYS, THINGS, OBJECTS = (text.split() for text in WORDS.values())


@dataclass(frozen=True)
class Task:
    """Un modèle, des couples et leur écriture. `pairs` est vide quand chaque épreuve les invente.

    `cue` est le début d’une ligne, à compléter ; `instruction` ouvre le texte ; `separator` sépare
    deux lignes.
    """

    model: str
    cue: str
    separator: str
    pairs: tuple[Pair, ...] = ()
    invented: Sequence[str] = ()
    instruction: str = ""

    def write(self, examples: Sequence[Pair], asked: str) -> str:
        """Le texte de l’épreuve : les exemples, puis la question."""
        lines = [self.cue.format(left) + right for left, right in examples]
        return self.instruction + self.separator.join([*lines, self.cue.format(asked)])

    def prompts(self, n: int, draw: Random, size: int, mixed: bool = False) -> list[Pair]:
        """`size` épreuves de `n` exemples, (texte, réponse) ; `mixed` : réponses décalées.

        ValueError si la tâche invente ses couples et n’a pas d’exemple : rien n’y dit la réponse.
        """
        if self.invented and not n:
            raise ValueError("n = 0 : des couples inventés ne se devinent pas ; donnez un exemple.")
        found = []
        for rank in range(size):
            if self.invented:
                examples = list(
                    zip(draw.sample(KEYS, n), draw.sample(self.invented, n), strict=True)
                )
                asked = draw.choice(examples)
            else:
                asked = self.pairs[rank % len(self.pairs)]
                examples = draw.sample([pair for pair in self.pairs if pair != asked], n)
            if mixed:
                answers = [right for _, right in examples]
                answers = answers[1:] + answers[:1]
                examples = [
                    (left, right) for (left, _), right in zip(examples, answers, strict=True)
                ]
            found.append((self.write(examples, asked[0]), asked[1]))
        return found


SMOLLM2, NOVELIST = "SmolLM2", "romancier"
TASKS = {
    "contraire": Task(
        SMOLLM2, "{} → ", "\n", OPPOSITES, instruction="Give the opposite of each word.\n"
    ),
    "capitale": Task(
        SMOLLM2, "{} → ", "\n", CAPITALS, instruction="Give the capital of each country.\n"
    ),
    "traduction": Task(
        SMOLLM2,
        "{} → ",
        "\n",
        TRANSLATIONS,
        instruction="Translate each word from English to French.\n",
    ),
    "couples inventés": Task(SMOLLM2, "{} → ", "\n", invented=THINGS),
    "féminin (romancier)": Task(NOVELIST, "{}, ", "; ", FEMININES),
    "couples inventés (romancier)": Task(NOVELIST, "{} avait une ", ". ", invented=OBJECTS),
}

if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
