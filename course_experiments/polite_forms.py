"""Affiner un vrai modèle en français : SmolLM2 apprend à passer du « tu » au « vous ».

    python -m course_experiments.polite_forms --seeds 0 1 2

Trois cents exemples, LoRA sur les requêtes et les valeurs, cent pas. On mesure la part de phrases
exactes sur des objets nouveaux, sur des verbes nouveaux, et quand « je » emploie le même mot que
« tu » ; avant, pendant, après ; et ce qu’un dictionnaire appris mot à mot en fait. La graine tire
aussi les mots gardés pour l’épreuve. Les mesures vont dans `results/polite_forms.json`,
l’adaptateur de la graine 0 dans `course_lib/models/adaptateur_vous/` ; une commande
interrompue reprend à la graine suivante.
"""

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from course_experiments.experiment import Experiment
from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.corpora.sentences.parallel_texts import PARALLEL_TEXTS
from course_lib.corpora.sentences.polite_forms import (
    PoliteForm,
    PoliteForms,
    WordByWord,
    generate_polite_forms,
)
from course_lib.evaluation.answers import exact_answers
from course_lib.evaluation.compression import compress
from course_lib.finetuning import (
    AnswerExamples,
    LoRAConfig,
    attach_lora,
    count_trainable,
    detach_adapters,
    save_adapter,
)
from course_lib.generation import SamplingConfig, generate
from course_lib.models import MODELS
from course_lib.pretrained import Pretrained, load_pretrained
from course_lib.pretrained.store import smollm2_path
from course_lib.tokenization import Tokenizer
from course_lib.training import TrainingConfig, train
from course_lib.transformer import Decoder

ADAPTER = MODELS / "adaptateur_vous"
BASE_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
LORA = LoRAConfig(8, 16.0, targets=("query", "value"))
GREEDY = SamplingConfig(temperature=0.0)
CONTEXT_LENGTH = 512  # assez pour les textes de parallel_texts
START = 0  # <|endoftext|>, ce que le modèle a vu entre deux documents


@dataclass(frozen=True)
class Protocol:
    """Exemples, épreuve, pas ; `n_curve` phrases de chaque épreuve à chaque point de la courbe."""

    n_train: int = 300
    n_test: int = 120
    n_curve: int = 40
    n_steps: int = 100
    batch_size: int = 8
    learning_rate: float = 1e-3
    eval_every: int = 20


def as_examples(
    forms: Sequence[PoliteForm], tokenizer: Tokenizer
) -> list[tuple[list[int], list[int]]]:
    """Les ids de chaque phrase à « tu » et de sa réponse, retour à la ligne compris."""
    return [(tokenizer.encode(form.prompt), tokenizer.encode(form.completion)) for form in forms]


def shares_exact(
    model: Decoder, tokenizer: Tokenizer, tests: dict[str, Sequence[PoliteForm]]
) -> dict[str, float]:
    """Part de phrases exactes, par épreuve."""
    return {
        kind: sum(found := exact_answers(model, AnswerExamples(as_examples(forms, tokenizer), 20)))
        / len(found)
        for kind, forms in tests.items()
    }


def baseline_shares(forms: PoliteForms) -> dict[str, float]:
    """Part de phrases exactes du dictionnaire mot à mot, appris sur les mêmes exemples."""
    rewrite = WordByWord(forms.train)
    return {
        kind: sum(rewrite(form.familiar) == form.polite for form in tests) / len(tests)
        for kind, tests in forms.tests.items()
    }


def rewrite(
    model: Decoder, tokenizer: Tokenizer, sentences: Sequence[str], max_new_tokens: int = 48
) -> list[str]:
    """Ce que le modèle écrit, au choix glouton, après chaque phrase à « tu »."""
    line_end = tokenizer.encode("\n")
    prompts = [tokenizer.encode(f"Tu : {sentence}\nVous :") for sentence in sentences]
    written = generate(model, prompts, max_new_tokens, sampling=GREEDY, stop_ids=line_end)
    return [tokenizer.decode(text.ids).strip() for text in written]


def finetune(
    pretrained: Pretrained,
    forms: PoliteForms,
    protocol: Protocol,
    seed: int,
    n_threads: int,
    progress: bool = True,
) -> dict:
    """Pose un adaptateur et l’entraîne ; rend le nombre de paramètres, le temps et la courbe."""
    model, tokenizer = pretrained.model, pretrained.tokenizer
    attach_lora(model, LORA, seed=seed)
    trained = count_trainable(model)
    data = AnswerExamples(as_examples(forms.train, tokenizer), protocol.batch_size, seed)
    some = {kind: tests[: protocol.n_curve] for kind, tests in forms.tests.items()}
    config = TrainingConfig(
        protocol.n_steps,
        protocol.learning_rate,
        weight_decay=0.0,
        seed=seed,
        eval_every=protocol.eval_every,
        n_threads=n_threads,
    )
    history = train(
        model,
        data,
        config,
        evaluate=lambda trained: shares_exact(trained, tokenizer, some),
        progress=progress,
    )
    curve = [{"step": r.step, "loss": r.loss, **r.metrics} for r in history.records if r.metrics]
    return {"trained": trained, "seconds": history.seconds, "curve": curve}


def bits_per_byte(pretrained: Pretrained) -> dict[str, float]:
    """Bits par octet, en anglais et en français, sur des textes ordinaires."""
    return {
        language: compress(
            pretrained.model,
            pretrained.tokenizer,
            [getattr(pair, language) for pair in PARALLEL_TEXTS],
            START,
        ).bits_per_byte
        for language in ("english", "french")
    }


def measure(
    name: str, seed: int, protocol: Protocol, n_threads: int = 2, adapter: Path | None = None
) -> dict:
    """Une graine, de la base nue à l’adaptateur retiré ; celui de la graine 0 est gardé."""
    pretrained = load_pretrained(smollm2_path(), CONTEXT_LENGTH)
    model, tokenizer = pretrained.model, pretrained.tokenizer
    forms = generate_polite_forms(protocol.n_train, protocol.n_test, seed)
    result = {
        "baseline": baseline_shares(forms),
        "before": shares_exact(model, tokenizer, forms.tests),
        "bits_before": bits_per_byte(pretrained),
    }
    start = time.process_time()
    result |= finetune(pretrained, forms, protocol, seed, n_threads)
    result["cpu_seconds"] = time.process_time() - start
    result["after"] = shares_exact(model, tokenizer, forms.tests)
    result["bits_after"] = bits_per_byte(pretrained)
    if adapter is not None and seed == 0:
        save_adapter(model, adapter, base_model=BASE_NAME)
    detach_adapters(model)
    result["bits_detached"] = bits_per_byte(pretrained)
    return result


def add_options(parser: FrenchArgumentParser) -> None:
    """Les fils de calcul, et où va l’adaptateur."""
    add = parser.add_argument
    add("--threads", type=positive_int, default=2, help="fils de calcul (2)")
    add("--adapter", type=Path, default=ADAPTER, help="dossier de l’adaptateur")


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience sur ces fils, avec cet adaptateur."""
    return replace(
        experiment,
        measure=partial(measure, n_threads=options.threads, adapter=options.adapter),
        products={"SmolLM2": options.adapter},
        n_threads=options.threads,
    )


EXPERIMENT = Experiment(
    "polite_forms",
    "Affine SmolLM2, par LoRA, à passer du tutoiement au vouvoiement.",
    Protocol(),
    ["SmolLM2"],
    measure,
    add_options=add_options,
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
