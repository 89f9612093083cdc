"""Demander la même explication pour trois publics à un vrai modèle : SmolLM2-135M-Instruct.

    python -m course_experiments.explanations --seeds 0 1 2

Dix sujets, trois publics, en anglais, la seule langue que ce modèle écrive bien. Le nombre de mots
par phrase et l’indice LIX (Björnsson, 1968 : mots par phrase, plus le pourcentage de mots de plus
de six lettres) ne demandent pas de compter des syllabes : ils valent d’une langue à l’autre. Une
graine est un autre tirage. Les mesures vont dans `results/explanations.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from course_experiments.experiment import Experiment
from course_lib.acceleration import NumbaReader
from course_lib.evaluation.readability import readability
from course_lib.generation import SamplingConfig, generate
from course_lib.pretrained.loading import Pretrained, load_pretrained
from course_lib.pretrained.store import smollm2_path

REQUESTS = {
    "enfant": "Explain {} to a five-year-old child.",
    "adulte": "Explain {} to an adult.",
    "expert": "Explain {} to a university professor of the field.",
}
SUBJECTS = (
    "why it rains",
    "how a vaccine works",
    "what a volcano is",
    "how a plane flies",
    "why the sky is blue",
    "what electricity is",
    "how bread rises",
    "why the sea is salty",
    "how the heart works",
    "what a black hole is",
)


@dataclass(frozen=True)
class Protocol:
    """Les sujets, la longueur des réponses en jetons, et le tirage."""

    subjects: Sequence[str] = SUBJECTS
    max_new_tokens: int = 120
    temperature: float = 0.7
    top_p: float = 0.9


@cache
def opened() -> Pretrained:
    """SmolLM2, ouvert une fois."""
    return load_pretrained(smollm2_path(), context_length=1024)


def finished(text: str) -> str:
    """Le texte jusqu’à sa dernière phrase finie ; tout le texte, s’il n’en finit aucune."""
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1] if end >= 0 else text


def explain(audience: str, seed: int, protocol: Protocol) -> list[str]:
    """L’explication de chaque sujet, écrite pour ce public."""
    loaded = opened()
    prompts = []
    for subject in protocol.subjects:
        request = REQUESTS[audience].format(subject)
        shown = loaded.chat_template.render([{"role": "user", "content": request}])
        prompts.append(loaded.tokenizer.encode(shown))
    answers = generate(
        loaded.model,
        prompts,
        protocol.max_new_tokens,
        sampling=SamplingConfig(temperature=protocol.temperature, top_p=protocol.top_p),
        seed=seed,
        stop_ids=list(loaded.eos_ids),
        reader=NumbaReader,
    )
    texts = (loaded.tokenizer.decode(each.ids, skip_special_tokens=True) for each in answers)
    return [finished(text.strip()) for text in texts]


def measure(name: str, seed: int, protocol: Protocol) -> dict:
    """Mots par phrase et LIX de chaque texte, et le premier texte en entier."""
    texts = explain(name, seed, protocol)
    counts = [readability(text) for text in texts]
    return {
        "sentence_length": [each.sentence_length for each in counts],
        "lix": [each.lix for each in counts],
        "example": texts[0],
    }


EXPERIMENT = Experiment(
    "explanations",
    "Demande la même explication pour trois publics à SmolLM2.",
    Protocol(),
    list(REQUESTS),
    measure,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
