"""Les exercices des jetons : une perplexité, trois fusions, des scores décalés, un piège."""

import math
from functools import cache
from typing import Any

from course_lib.exercises import judges
from course_lib.exercises.answers import as_words
from course_lib.exercises.exercise import Exercise, require
from course_lib.generation import TextGenerator
from course_lib.models.shipped import load_romancier
from course_lib.ngram import KneserNeyModel
from course_lib.tokenization import BPETokenizer, WordTokenizer
from course_lib.typography import format_number, format_percent, large_number

PROBABILITIES = (1 / 2, 1 / 4, 1 / 8)
SURPRISE = -sum(math.log(p) for p in PROBABILITIES) / 3  # moyenne, en nats
BITS = SURPRISE / math.log(2)

# Trois jetons ont reçu 1/2, 1/4 et 1/8 : quelle perplexité ?
perplexity = Exercise(
    judges.Number(
        math.exp(SURPRISE),
        [
            (
                SURPRISE,
                "c'est la surprise moyenne, en nats ; il reste à en prendre l'exponentielle",
            ),
            (BITS, "c'est la surprise moyenne en bits : deux puissance cela, ou tout en nats"),
            (math.exp(BITS), "le logarithme est en base 2 et l'exponentielle en base e"),
            (2**SURPRISE, "le logarithme est en base e et la puissance en base 2"),
            (10**SURPRISE, "le logarithme est en base e et la puissance en base 10"),
            (math.exp(3 * SURPRISE), "c'est l'exponentielle de la somme : il fallait la moyenne"),
            (math.exp(-3 * SURPRISE), "c'est la probabilité du texte entier"),
            (3 * SURPRISE, "c'est la surprise du texte entier, en nats"),
            (math.exp(-SURPRISE), "c'est l'inverse de la perplexité : un signe s'est perdu"),
            (
                3 / sum(PROBABILITIES),
                "ce sont les surprises que l'on moyenne, et non les probabilités",
            ),
        ],
        tolerance=0.005,
    ),
    (
        "la surprise d'un jeton est −ln p ; que valent les trois, et leur moyenne ?",
        "ln ¼ vaut deux fois ln ½, et ln ⅛ trois fois. Moyennez, puis prenez l'exponentielle.",
    ),
)


def _merges(corpus: list[str], n_merges: int) -> list[str]:
    """Les premiers jetons que crée le codage par paires d’octets, par l’algorithme du cours."""
    tokenizer = BPETokenizer.train(corpus, vocab_size=259 + n_merges)
    return [left + right for left, right in tokenizer.merges]


# « chat » deux fois, « chats », « rat » : les trois premières fusions ?
three_merges = Exercise(
    judges.Texts(
        _merges(["chat", "chat", "chats", "rat"], 3),
        [
            (
                ("at", "hat", "chat"),
                "à la deuxième fusion, deux paires sont à égalité : l'alphabet départage",
            ),
            (
                ("at", "ch", "ha"),
                "après la première fusion, « a » et « t » ne sont plus séparés dans « chat » : "
                "recomptez les paires",
            ),
            (("at", "ch", "hat"), "après la deuxième fusion, « h » est déjà pris : recomptez"),
            (("ch", "ha", "at"), "la première paire est la plus fréquente, tous mots confondus"),
            (
                ("ch", "at", "chat"),
                "une paire est plus fréquente que « c h » : « rat » compte aussi",
            ),
            (("chat", "chats", "rat"), "une fusion ne soude que deux morceaux à la fois"),
            (("a t", "c h", "ch at"), "un jeton s'écrit d'un seul tenant, sans espace"),
        ],
    ),
    (
        "écrivez les quatre mots lettre à lettre, et comptez chaque paire de voisines.",
        "soudez partout la paire gagnante, puis recomptez : les nouvelles paires contiennent le "
        "morceau soudé.",
    ),
)


START_SCORES = (0.0, -1.0, 0.0, 2.0, 1.0)  # le, chat, chien, dort, mange, après « chat »
_TOTAL = sum(map(math.exp, START_SCORES))
LOSS = math.log(_TOTAL) - START_SCORES[4]

# On ajoute 10 à tous les scores : que devient la perte ?
shifted_scores = Exercise(
    judges.Number(
        LOSS,
        [
            (LOSS + 10, "la somme des exponentielles change aussi, et d'autant"),
            (
                LOSS - 10,
                "une perte n'est jamais négative : refaites le softmax des scores augmentés",
            ),
            (math.exp(-LOSS), "c'est la probabilité de « mange » ; la perte en est −ln"),
            (-LOSS, "un signe s'est perdu : la perte est −ln de la probabilité"),
            (LOSS / math.log(2), "c'est la perte en bits ; on l'attend en nats"),
            (math.log(_TOTAL) - START_SCORES[3], "c'est la perte si le vrai mot était « dort »"),
            (0.0, "la perte n'est nulle que si le vrai mot a toute la probabilité"),
        ],
    ),
    (
        "refaites le softmax avec les nouveaux scores : par combien chaque exponentielle est-elle "
        "multipliée ?",
        "la somme des exponentielles est multipliée par le même nombre. Que devient le rapport ?",
    ),
)


def _trap(answer: Any) -> str:
    """Juge deux phrases de quatre mots : le 3-gramme les confond, le romancier les distingue."""
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        "on attend deux phrases : chaque début, suivi du mot qu'il appelle",
    )
    first, second = (
        as_words(text if isinstance(text, str) else " ".join(map(str, text)), "une des phrases")
        for text in (part if isinstance(part, str | list | tuple) else [part] for part in answer)
    )
    alike = [[word.lower() for word in words] for words in (first, second)]
    require(len(first) == len(second), "les deux phrases n'ont pas le même nombre de mots")
    require(len(first) >= 4, "c'est trop court : un 3-gramme y voit encore tout le début")
    require(alike[0][-1] != alike[1][-1], "la suite est la même : il n'y a rien à confondre")
    require(
        alike[0][-3:-1] == alike[1][-3:-1],
        "les deux mots qui précèdent la suite ne sont pas les mêmes : le 3-gramme les distingue",
    )
    require(
        alike[0][0] != alike[1][0],
        "les deux débuts commencent par le même mot, qui ne sert à rien",
    )
    require(len(first) == 4, "c'est un piège, mais un mot y est de trop")
    return f"{_confused(*alike)} {_told_apart(first, second)}"


def _confused(first: list[str], second: list[str]) -> str:
    """Ce qu’un 3-gramme prédit après chaque début, quand il a lu les deux phrases."""
    sentences = [" ".join(first), " ".join(second)]
    lexicon = WordTokenizer.train(sentences, split="whitespace")
    rows = [lexicon.encode(sentence) for sentence in sentences]
    model = KneserNeyModel(3, lexicon.vocab_size, lexicon.bos_id).fit(rows)
    chances = [float(model.next_distribution(row[:3])[rows[0][3]]) for row in rows]
    require(abs(chances[0] - chances[1]) < 1e-9, "un 3-gramme distingue ces deux débuts")
    return (
        f"Même après avoir lu vos deux phrases, un 3-gramme donne à « {first[3]} » la probabilité "
        f"{format_percent(chances[0])} après chacun des débuts."
    )


@cache
def _novelist() -> TextGenerator:
    """Le romancier, ouvert une fois."""
    return TextGenerator(*load_romancier())


def _told_apart(first: list[str], second: list[str]) -> str:
    """De combien le romancier préfère, après chaque début, la suite donnée à l’autre.

    Mistake si l’une n’est pas au moins `CLEAR` fois plus probable que l’autre.
    """
    endings, ratios = (first[3], second[3]), []
    for words, wanted, other in ((first, *endings), (second, *endings[::-1])):
        start = " ".join(words[:3])
        # Le point ferme le mot : sans lui, « élu » serait aussi le début d’« élue ».
        wanted_nats, other_nats = (
            _novelist().log_prob(f"{start} {ending}.") for ending in (wanted, other)
        )
        ratios.append(math.exp(min(wanted_nats - other_nats, 50)))
        require(
            ratios[-1] >= CLEAR,
            f"après « {start} », le romancier ne préfère pas nettement « {wanted} » à « {other} »",
        )
    shown = [large_number(ratio) if ratio >= 1e4 else format_number(ratio, 0) for ratio in ratios]
    return f"Le romancier, lui, préfère chaque suite {shown[0]} et {shown[1]} fois à l'autre."


CLEAR = 2  # « nettement » : deux fois plus probable

# Ouvert : deux débuts que tout 3-gramme confond, et que le romancier distingue.
own_trap = Exercise(
    _trap,
    (
        "un 3-gramme ne voit que les deux derniers mots du début : lesquels doivent être communs ?",
        "tout se joue sur le premier des trois mots du début. Un accord, un genre, une négation…",
    ),
)
