"""Les schémas qui bougent de la génération : la boucle, la température, le faisceau, le cache.

Leurs nombres sont calculés : la boucle et la température sur un vrai modèle, le faisceau et le
cache sur un petit exemple qu’on refait à la main.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from course_lib.generation.sampling import SamplingConfig, next_distribution
from course_lib.typography import format_number, format_percent
from course_lib.widgets.drawing import WIDTH, Drawing

_MODEL_BOX = 176


def loop_frames(
    words: Sequence[str], candidates: Sequence[tuple[str, float, float]], chosen: int
) -> list[tuple[Drawing, str]]:
    """Un tour de la boucle d’écriture, en cinq dessins.

    `words` : les derniers jetons du texte ; `candidates` : (jeton, score, probabilité) des premiers
    jetons suivants ; `chosen` : le rang de celui qu’on tire.
    """
    captions = (
        "Le texte, en jetons : le modèle les lit tous. Dessous, quelques suites possibles.",
        "Il rend un score pour chaque jeton du vocabulaire : les logits. En voici les plus hauts.",
        "Le softmax change les scores en probabilités, dont la somme vaut 1.",
        f"On en choisit un : ici, au hasard de ces probabilités, « {candidates[chosen][0]} ».",
        "On l’ajoute au texte, et l’on recommence. Écrire, c’est tourner dans cette boucle.",
    )
    return [
        (_loop_drawing(words, candidates, chosen, step), caption)
        for step, caption in enumerate(captions)
    ]


def _loop_drawing(
    words: Sequence[str], candidates: Sequence[tuple[str, float, float]], chosen: int, step: int
) -> Drawing:
    told = ("le texte", "les scores", "les probabilités", "le choix", "le texte allongé")[step]
    drawing = Drawing(312, f"La boucle d’écriture, étape {step + 1} : {told}")
    width = (WIDTH - 20) / (len(words) + 1) - 6
    for rank, word in enumerate(words):
        drawing.box(10 + rank * (width + 6), 12, word, width=width, tone="kept")
    place = 10 + len(words) * (width + 6)
    added = step == 4
    last = candidates[chosen][0] if added else "?"
    drawing.box(place, 12, last, width=width, tone="chosen" if added else "faded")
    drawing.arrow((WIDTH / 2, 46), (WIDTH / 2, 68))
    drawing.box(
        (WIDTH - _MODEL_BOX) / 2, 70, "le modèle", width=_MODEL_BOX, height=34, tone="plain"
    )
    drawing.arrow((WIDTH / 2, 106), (WIDTH / 2, 126), tone="plain" if step else "faded")
    _loop_rows(drawing, candidates, chosen, step)
    if added:
        x = place + width / 2
        drawing.arrow(
            (WIDTH - 100, 172 + 28 * chosen), (x, 172 + 28 * chosen), (x, 44), tone="chosen"
        )
    return drawing


def _loop_rows(
    drawing: Drawing, candidates: Sequence[tuple[str, float, float]], chosen: int, step: int
) -> None:
    highest = max(p for _, _, p in candidates)
    if step >= 1:
        drawing.text(172, 144, "score", anchor="end", tone="faded")
    if step >= 2:
        drawing.text(188, 144, "probabilité", tone="faded")
    for rank, (word, score, probability) in enumerate(candidates):
        y = 172 + 28 * rank
        tone = "faded" if step == 0 else "chosen" if step >= 3 and rank == chosen else "kept"
        drawing.text(104, y, word, anchor="end", tone=tone)
        if step >= 1:
            drawing.text(172, y, format_number(score, 1), anchor="end", tone=tone)
        if step >= 2:
            drawing.bar(188, y - 9, 130 * probability / highest, height=18, tone=tone)
            drawing.text(326, y, _percent(probability), tone=tone)


def _percent(share: float) -> str:
    return format_percent(share) if share >= 0.005 else "< 1 %"


def temperature_frames(
    logits: Tensor, words: Mapping[int, str], temperatures: Sequence[float]
) -> list[tuple[Drawing, str]]:
    """Ce que la température fait aux jetons `words` (id → texte), d’après les scores (V,)."""
    frames = []
    for temperature in temperatures:
        distribution = next_distribution(logits, SamplingConfig(temperature=temperature))
        shown = f"T = {format_number(temperature)}"
        drawing = Drawing(30 + 26 * len(words), f"Probabilité des jetons suivants à {shown}")
        drawing.text(10, 14, shown, tone="chosen")
        for rank, (token_id, word) in enumerate(words.items()):
            y, probability = 44 + 26 * rank, float(distribution[token_id])
            drawing.text(118, y, word, anchor="end")
            drawing.bar(
                128, y - 9, 290 * probability, height=18, tone="chosen" if not rank else "kept"
            )
            drawing.text(136 + 290 * probability, y, _percent(probability))
        others = _percent(1 - sum(float(distribution[i]) for i in words))
        frames.append((drawing, f"À {shown}, tous les autres jetons ensemble gardent {others}."))
    return frames


# Un petit langage à deux mots de suite : mot → probabilité, puis mot → (mot → probabilité).
TREE = {
    "est": (0.5, {"ici": 0.4, "là": 0.3, "loin": 0.3}),
    "a": (0.4, {"faim": 0.9, "peur": 0.1}),
    "va": (0.1, {"loin": 1.0}),
}


def beam_frames(tree: Mapping[str, tuple[float, Mapping[str, float]]] = TREE):
    """Choix glouton contre faisceau de deux, sur un arbre de deux mots ; tout y est calculé."""
    paths = {(a, b): p * q for a, (p, after) in tree.items() for b, q in after.items()}
    firsts = sorted(tree, key=lambda word: -tree[word][0])
    greedy = max((path for path in paths if path[0] == firsts[0]), key=paths.get)
    best = max((path for path in paths if path[0] in firsts[:2]), key=paths.get)
    number = format_number
    captions = (
        f"Le choix glouton prend « {greedy[0]} », le plus probable, puis « {greedy[1]} » : "
        f"{number(tree[greedy[0]][0])} × {number(tree[greedy[0]][1][greedy[1]])} = "
        f"{number(paths[greedy], 2)}.",
        f"Un faisceau de deux garde les deux meilleurs débuts, « {firsts[0]} » et « {firsts[1]} ».",
        "Il les prolonge tous deux, et compare tous les produits.",
        f"La meilleure suite est « {' '.join(best)} » : {number(paths[best], 2)}. Elle passait par "
        "un premier mot moins probable.",
    )
    kept = ({greedy[0]}, set(firsts[:2]), set(firsts[:2]), {best[0]})
    ends = ({greedy}, set(), {p for p in paths if p[0] in firsts[:2]}, {best})
    return [
        (_beam_drawing(tree, paths, kept[step], ends[step]), caption)
        for step, caption in enumerate(captions)
    ]


def _beam_drawing(tree, paths, kept: set[str], ends: set[tuple[str, str]]) -> Drawing:
    words = ", ".join(" ".join(path) for path in sorted(ends)) or ", ".join(sorted(kept))
    drawing = Drawing(44 * len(paths) + 6, f"Un arbre de suites de « Elle ». Gardées : {words}")
    leaves = {path: 24 + 44 * rank for rank, path in enumerate(paths)}
    middle = 24 + 44 * (len(paths) - 1) / 2
    drawing.box(4, middle - 15, "Elle", width=54)
    for word, (probability, after) in tree.items():
        ys = [leaves[word, follower] for follower in after]
        y = sum(ys) / len(ys)
        tone = "chosen" if word in kept else "faded"
        drawing.arrow((58, middle), (138, y), tone=tone)
        drawing.text(
            98, (middle + y) / 2 - 11, format_number(probability), anchor="middle", tone=tone
        )
        drawing.box(140, y - 15, word, width=54, tone=tone)
        for follower, share in after.items():
            leaf, path = leaves[word, follower], (word, follower)
            tone = "chosen" if path in ends else "faded"
            drawing.arrow((194, y), (274, leaf), tone=tone)
            drawing.text(
                254, (y + 3 * leaf) / 4 - 10, format_number(share), anchor="middle", tone=tone
            )
            drawing.box(276, leaf - 15, follower, width=60, tone=tone)
            drawing.text(348, leaf, f"p = {format_number(paths[path], 2)}", tone=tone)
    return drawing


def cache_frames(words: Sequence[str], n_prompt: int) -> list[tuple[Drawing, str]]:
    """Ce que le modèle lit à chaque pas, sans cache puis avec ; l’amorce a `n_prompt` jetons."""
    frames, reread, cached = [], [], []
    for length in range(n_prompt, len(words)):
        fresh = n_prompt if length == n_prompt else 1
        reread.append(length)
        cached.append(fresh)
        drawing = Drawing(
            196,
            f"{length} jetons lus ; sans cache, {length} calculés ; avec cache, {fresh} calculés",
        )
        width = (WIDTH - 16) / len(words) - 4
        rows = (("Sans cache", length, reread), ("Avec cache", fresh, cached))
        for row, (name, new, read) in enumerate(rows):
            total = " + ".join(map(str, read)) + (f" = {sum(read)}" if len(read) > 1 else "")
            y = 20 + 94 * row
            drawing.text(8, y, name, tone="chosen")
            drawing.text(WIDTH - 8, y, f"lus en tout : {total}", anchor="end")
            for rank, word in enumerate(words):
                tone = "kept" if rank < length - new else "new" if rank < length else "faded"
                text = word if rank < length else "?" if rank == length else ""
                if rank <= length:
                    drawing.box(8 + rank * (width + 4), y + 18, text, width=width, tone=tone)
        if length == n_prompt:
            text = f"Les {n_prompt} jetons de l’amorce sont lus d’un coup, avec ou sans cache."
        else:
            text = (
                f"Pour écrire le jeton suivant, on relit {length} jetons sans cache ; avec lui, un "
                "seul, et les clés et valeurs des autres attendent en mémoire."
            )
        frames.append((drawing, text))
    return frames


def window_frames(words: Sequence[str], context: int) -> list[tuple[Drawing, str]]:
    """Un texte plus long que le contexte : la fenêtre se remplit, puis garde sa moitié récente."""
    frames, start = [], 0
    for length in range(context - 1, len(words) + 1):
        slides = length - start > context
        if slides:
            start = length - context // 2
        drawing = Drawing(64, f"{length} jetons écrits ; le modèle lit du {start + 1}e au dernier")
        width = (WIDTH - 16) / len(words) - 4
        for rank, word in enumerate(words[:length]):
            tone = "faded" if rank < start else "new" if rank == length - 1 else "kept"
            drawing.box(8 + rank * (width + 4), 17, word, width=width, tone=tone)
        if slides:
            text = "La fenêtre était pleine : elle glisse, et le modèle oublie le début."
        elif length - start == context:
            text = f"La fenêtre est pleine : {context} jetons."
        else:
            text = "Un jeton de plus entre dans la fenêtre."
        frames.append((drawing, text))
    return frames
