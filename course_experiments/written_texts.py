"""Ce qu’un modèle écrit de lui-même : quelques centaines de courts textes anglais, gardés.

Un texte par ligne, en JSON. Le texte n° i commence par l’amorce n° i modulo 40 et ne dépend que de
son numéro, de la graine et des réglages : une écriture interrompue continue où elle en était, et
l’on peut en demander plus sans changer les premiers.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn
from tqdm.auto import tqdm

from course_lib.acceleration import NumbaReader
from course_lib.files import write_text
from course_lib.generation import SamplingConfig, generate, row_seeds
from course_lib.tokenization import Tokenizer

OPENINGS = (
    "Once upon a time, in a small village by the sea,",
    "The most important thing to know about volcanoes is",
    "Yesterday morning, the city council announced that",
    "To bake a simple loaf of bread, you need",
    "Dear Anna, I am writing to tell you",
    "The history of the bicycle begins",
    "My first day at the new school was",
    "Scientists have recently discovered that",
    "In the middle of the night, the old dog",
    "There are three reasons why people learn music.",
    "The moon moves around the Earth because",
    "When the rain finally stopped, Maria opened the window and",
    "A good friend is someone who",
    "The company sells small electric cars, and",
    "During the winter, many birds",
    "He looked at the broken clock and said,",
    "If you want to grow tomatoes on a balcony,",
    "The teacher asked the class a strange question:",
    "Long before the invention of paper,",
    "The train to the north leaves at",
    "A healthy breakfast should",
    "The two brothers had not spoken for years, until",
    "Computers store information as",
    "On the first page of the diary, she had written:",
    "The river runs through the valley and",
    "Many people believe that cats",
    "The doctor explained that sleep",
    "After the match, the captain of the losing team",
    "The museum opened a new room about",
    "To solve this problem, we first have to",
    "The island has no roads, no shops and",
    "Some words have changed their meaning over time. For example,",
    "The king had a daughter who",
    "Energy cannot be created or destroyed;",
    "I have always been afraid of",
    "The price of coffee went up this year because",
    "Every evening, my grandfather told us",
    "A map is useful only if",
    "The robot stopped in front of the door and",
    "In this lesson, you will learn how to",
)


@dataclass(frozen=True)
class Writing:
    """Les réglages dont dépendent les textes. `start_id` : le jeton lu avant l’amorce."""

    max_new_tokens: int = 96
    temperature: float = 1.0
    top_p: float = 0.95
    batch_size: int = 20
    start_id: int = 0
    seed: int = 0


@dataclass(frozen=True)
class WrittenText:
    """Un texte : son amorce, jeton de départ compris, et ce que le modèle a écrit ensuite."""

    prompt: list[int]
    new: list[int]
    text: str


def read_texts(path: Path, writing: Writing) -> dict[int, WrittenText]:
    """Les textes déjà écrits, par numéro ; aucun si le fichier n’existe pas.

    ValueError si une ligne est abîmée, ou si d’autres réglages l’ont écrite.
    """
    texts, expected = {}, asdict(writing)
    for rank, line in enumerate(path.read_text("utf-8").split("\n") if path.exists() else ()):
        if not line:
            continue
        try:
            content = json.loads(line)
            settings, index = content.pop("writing"), content.pop("index")
            texts[index] = WrittenText(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"« {path.name} », ligne {rank + 1} : ce n’est pas un texte du modèle. Effacez "
                "cette ligne : le texte sera réécrit."
            ) from error
        if settings != expected:
            raise ValueError(
                f"« {path.name} » a été écrit avec les réglages {settings}, et non {expected} : "
                "effacez-le, ou choisissez un autre dossier."
            )
    return texts


def write_texts(
    path: Path,
    wanted: Iterable[int],
    writing: Writing,
    model: nn.Module,
    tokenizer: Tokenizer,
    stop_ids: Sequence[int],
    before_batch: Callable[[], None] = lambda: None,
) -> dict[int, WrittenText]:
    """Écrit les textes qui manquent parmi `wanted`, un lot à la fois ; rend tous ceux du fichier.

    Le fichier est complet à tout instant. `before_batch` est appelée avant chaque lot : elle peut
    tout arrêter par une exception. ValueError : voir `read_texts`.
    """
    texts, size = read_texts(path, writing), writing.batch_size
    batches = sorted({index // size for index in wanted if index not in texts})
    path.parent.mkdir(parents=True, exist_ok=True)
    for batch in tqdm(batches, desc="Textes, par lot"):
        before_batch()
        indices = range(batch * size, (batch + 1) * size)
        openings = [OPENINGS[index % len(OPENINGS)] for index in indices]
        prompts = [[writing.start_id, *tokenizer.encode(opening)] for opening in openings]
        written = generate(
            model,
            prompts,
            writing.max_new_tokens,
            sampling=SamplingConfig(writing.temperature, top_p=writing.top_p),
            stop_ids=stop_ids,
            seed=row_seeds(writing.seed, batch + 1)[batch],
            reader=NumbaReader,
            when_full="stop",  # un texte doit tenir dans le contexte : il sera relu d’un coup
        )
        for index, prompt, new in zip(indices, prompts, written, strict=True):
            text = tokenizer.decode([*prompt[1:], *new.ids], skip_special_tokens=True)
            texts[index] = WrittenText(prompt, new.ids, text)
        _save(path, texts, writing)
    return texts


def _save(path: Path, texts: dict[int, WrittenText], writing: Writing) -> None:
    contents = [
        {"index": index, **asdict(texts[index]), "writing": asdict(writing)}
        for index in sorted(texts)
    ]
    lines = [json.dumps(content, ensure_ascii=False) + "\n" for content in contents]
    write_text(path, "".join(lines))


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
