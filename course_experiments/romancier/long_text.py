"""Des textes de trois mille jetons, trois fois le contexte : ce que la fenêtre qui glisse oublie.

    python -m course_experiments.romancier.long_text --novels DOSSIER

Dix débuts de romans que le romancier n’a pas lus : il en écrit la suite, et l’on mesure aussi la
vraie. Par tranche de cinq cents jetons : la part des noms propres déjà vus dans la première, et les
redites. Une graine est un tirage : le modèle n’a été entraîné qu’une fois.
Les mesures, et un texte entier, vont dans `results/romancier.long_text.json`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_experiments.experiment import Experiment
from course_experiments.romancier import degeneration
from course_experiments.romancier.novels import add_novels_option, with_novels
from course_lib.generation import SamplingConfig, generate
from course_lib.pretrained.loading import load_pretrained
from course_lib.tokenization import Tokenizer

WRITTEN, NOVELS = "le romancier", "les romans"
TITLES = {"Monsieur", "Madame", "Mademoiselle", "Messieurs", "Mesdames", "Dieu"}


@dataclass(frozen=True)
class Protocol:
    """Combien de débuts ; la longueur des suites et des tranches ; les réglages du tirage."""

    n_beginnings: int = 10
    prompt_tokens: int = 48
    new_tokens: int = 3000
    slice_tokens: int = 500
    temperature: float = 0.8
    top_p: float = 0.95


def proper_names(text: str) -> list[str]:
    """Les mots à majuscule qui suivent une minuscule ou une virgule, titres et Dieu ôtés."""
    found = re.findall(r"(?<=[a-zà-öø-ÿœ,] )[A-ZÀ-ÖØ-Þ][\wà-ÿœ-]+", text)
    return [name for name in found if name not in TITLES]


def names_of_the_start(slices: Sequence[str]) -> list[tuple[int, int]]:
    """Pour chaque tranche après la première : (noms déjà vus dans celle-ci, tous les noms)."""
    first = set(proper_names(slices[0]))
    mentions = [proper_names(text) for text in slices[1:]]
    return [(sum(name in first for name in names), len(names)) for names in mentions]


def measure(name: str, seed: int, protocol: Protocol, novels: Path | None = None) -> dict:
    """Les mesures des suites que le modèle écrit, ou des vraies ; et le premier texte écrit."""
    loaded = load_pretrained("romancier")
    n_new = protocol.new_tokens
    pairs = degeneration.beginnings(novels, loaded.tokenizer, protocol)
    if name == NOVELS:
        return measures(loaded.tokenizer, [true for _, true in pairs], protocol)
    sampling = SamplingConfig(protocol.temperature, top_p=protocol.top_p)
    prompts = [prompt for prompt, _ in pairs]
    written = [
        text.ids for text in generate(loaded.model, prompts, n_new, sampling=sampling, seed=seed)
    ]
    found = measures(loaded.tokenizer, written, protocol)
    if seed == 0:
        found["first"] = loaded.tokenizer.decode(written[0], skip_special_tokens=True)
    return found


def measures(tokenizer: Tokenizer, written: Sequence[Sequence[int]], protocol: Protocol) -> dict:
    """Par tranche : part des noms venus de la première, redites de quatre jetons."""
    size, names, repeated = protocol.slice_tokens, [], []
    for ids in written:
        slices = [ids[start : start + size] for start in range(0, len(ids), size)]
        texts = [tokenizer.decode(one, skip_special_tokens=True) for one in slices]
        names.append(names_of_the_start(texts))
        repeated.append([degeneration.repeated_4grams(one) for one in slices])
    counts = np.array(names).sum(axis=0)  # (tranches − 1, 2)
    return {
        "texts": len(written),
        "names": counts[:, 1].tolist(),
        "names_of_the_start": (counts[:, 0] / counts[:, 1].clip(min=1)).tolist(),
        "repeated_4grams": np.mean(repeated, axis=0).tolist(),
    }


EXPERIMENT = Experiment(
    name="romancier.long_text",
    description="Mesure ce que le romancier oublie quand sa fenêtre glisse.",
    settings=Protocol(),
    names=(WRITTEN,),
    once=(NOVELS,),
    seeds=(0, 1),
    measure=measure,
    seeds_option=("--draws", "tirages"),
    add_options=add_novels_option,
    adapt=with_novels,
)

if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
