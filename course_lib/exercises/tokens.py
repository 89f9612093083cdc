"""Les exercices des jetons : une perplexité, trois fusions, un piège, deux textes à soi."""

import math
from typing import Any

from course_lib.exercises import judges
from course_lib.exercises.answers import as_number, as_words
from course_lib.exercises.exercise import Exercise, require
from course_lib.ngram import KneserNeyModel
from course_lib.tokenization import BPETokenizer, WordTokenizer
from course_lib.typography import format_number, format_percent

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


def _trap(answer: Any) -> str:
    """Juge deux phrases de quatre mots : un 3-gramme les confond-il jusqu’au dernier ?"""
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        "on attend deux phrases : chaque début, suivi du mot qu'il appelle",
    )
    first, second = (
        as_words(text if isinstance(text, str) else " ".join(map(str, text)), "une des phrases")
        for text in (part if isinstance(part, str | list | tuple) else [part] for part in answer)
    )
    first, second = ([word.lower() for word in words] for words in (first, second))
    require(len(first) == len(second), "les deux phrases n'ont pas le même nombre de mots")
    require(len(first) >= 4, "c'est trop court : un 3-gramme y voit encore tout le début")
    require(first[-1] != second[-1], "la suite est la même : il n'y a rien à confondre")
    require(
        first[-3:-1] == second[-3:-1],
        "les deux mots qui précèdent la suite ne sont pas les mêmes : le 3-gramme les distingue",
    )
    require(first[0] != second[0], "les deux débuts commencent par le même mot, qui ne sert à rien")
    require(len(first) == 4, "c'est un piège, mais un mot y est de trop")
    return _confused(first, second)


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


# Deux débuts que tout 3-gramme confond, chacun suivi du mot qu’il appelle.
trap = Exercise(
    _trap,
    (
        "un 3-gramme ne voit que les deux derniers mots du début : lesquels doivent être communs ?",
        "tout se joue sur le premier des trois mots du début. Un accord, un genre, une négation…",
    ),
)

N_MERGES = 100


def _own_texts(answer: Any) -> str:
    """Juge `(texte appris, autre texte, pari)`, et mesure le rapport des jetons par mot."""
    require(
        isinstance(answer, tuple | list) and len(answer) == 3,
        "on attend deux textes et un pari : `(first, second, bet)`",
    )
    first = as_words(answer[0], "le premier texte", 60)
    second = as_words(answer[1], "le second texte", 60)
    bet = as_number(answer[2])
    require(bet > 0, "le pari est un rapport, donc un nombre positif")
    common = set(map(str.lower, first)) & set(map(str.lower, second))
    require(
        2 * len(common) < len(set(second)),
        "vos deux textes se ressemblent trop : plus de la moitié "
        "des mots du second sont dans le premier",
    )
    tokenizer = BPETokenizer.train([answer[0]], vocab_size=259 + N_MERGES)
    costs = [len(tokenizer.encode(t)) / len(t.split()) for t in (answer[0], answer[1])]
    shown = [format_number(x, 2) for x in (*costs, costs[1] / costs[0], bet)]
    return (
        f"{shown[0]} jetons par mot dans le premier texte, {shown[1]} dans le second, soit "
        f"{shown[2]} fois autant. Vous aviez parié {shown[3]}."
    )


# Ouvert : deux textes à soi, et un pari sur le prix du second.
own_texts = Exercise(
    _own_texts,
    (
        "il faut deux textes de soixante mots au moins, entre guillemets triples, et un nombre.",
        "prenez-les de langues, d'époques ou de sujets différents ; la réponse a la forme "
        "`(first, second, 1.5)`.",
    ),
)
