"""De vraies questions à un vrai modèle : ce qu’il sait, ce qu’il invente, ce qu’il avoue.

    python -m course_experiments.real_questions

SmolLM2-135M-Instruct, anglais, reçoit vingt questions simples et vingt autres, de même forme, sur
des lieux, des gens et des livres qui n’existent pas. Il répond au choix glouton. La confiance est
la moyenne géométrique des probabilités de ses jetons. Les mesures vont dans
`results/real_questions.json` ; elles ne tiennent à aucune graine.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from course_experiments.experiment import Experiment
from course_lib.generation import SamplingConfig, generate
from course_lib.pretrained.loading import Pretrained, load_pretrained
from course_lib.pretrained.store import smollm2_path

# (question, ce que doit contenir une réponse juste)
REAL = (
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is the capital of Canada?", "Ottawa"),
    ("What is the capital of Egypt?", "Cairo"),
    ("What is the capital of Australia?", "Canberra"),
    ("In which country is the city of Barcelona?", "Spain"),
    ("In which country is the city of Munich?", "Germany"),
    ("On which river does the city of London stand?", "Thames"),
    ("On which continent is the country of Kenya?", "Africa"),
    ("Who wrote the play Hamlet?", "Shakespeare"),
    ("Who wrote the novel Pride and Prejudice?", "Austen"),
    ("Who wrote the novel War and Peace?", "Tolstoy"),
    ("Who painted the Mona Lisa?", "Leonardo"),
    ("Who discovered penicillin?", "Fleming"),
    ("Who invented the telephone?", "Bell"),
    ("In what year did the First World War begin?", "1914"),
    ("In what year did humans first walk on the Moon?", "1969"),
    ("In what year was the Declaration of Independence of the United States signed?", "1776"),
    ("What is the profession of Albert Einstein?", "physicist"),
    ("What is the chemical symbol of gold?", "Au"),
)
INVENTED = (
    "What is the capital of Velmora?",
    "What is the capital of Ostravia?",
    "What is the capital of Tandolia?",
    "What is the capital of Kerland?",
    "What is the capital of Brusenia?",
    "In which country is the city of Malvorne?",
    "In which country is the city of Quelbach?",
    "On which river does the city of Tresham Falls stand?",
    "On which continent is the country of Dorvania?",
    "Who wrote the play The Lantern of Aldermoor?",
    "Who wrote the novel The Glass Orchard of Penwick?",
    "Who wrote the novel Seven Winters in Halvick?",
    "Who painted The Widow of Carramore?",
    "Who discovered florazine?",
    "Who invented the thermolograph?",
    "In what year did the Second Varnish War begin?",
    "In what year did humans first walk on Jupiter?",
    "In what year was the Declaration of Independence of Velmora signed?",
    "What is the profession of Edwin Tarrowsby?",
    "What is the chemical symbol of orvanium?",
)
QUESTIONS = {"réelles": REAL, "inventées": tuple((question, None) for question in INVENTED)}
# Ce qui compte pour un aveu : dire qu’on ignore, ou que la chose n’existe pas.
AVOWAL = re.compile(
    r"(?:I'm sorry|I am sorry|I don't (?:know|have)|I do not (?:know|have)|not aware|unaware|"
    r"cannot (?:find|answer|provide)|can't (?:find|answer|provide)|not (?:a )?real|fictional|"
    r"fictitious|does not exist|doesn't exist|no (?:record|information|such)|has never|have never|"
    r"have not|unable to|not familiar|as an AI)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Protocol:
    """Jetons écrits au plus, et contexte du modèle."""

    n_tokens: int = 32
    context_length: int = 128


def avows(text: str) -> bool:
    """Dit si une réponse avoue une ignorance, d’après ses mots."""
    return bool(AVOWAL.search(text.replace("’", "'")))


def ask(
    loaded: Pretrained, questions: Sequence[str], protocol: Protocol
) -> list[tuple[str, float]]:
    """La réponse gloutonne à chaque question, écrites ensemble, et sa confiance, de 0 à 1."""
    prompts = [
        loaded.chat_template.render([{"role": "user", "content": question}])
        for question in questions
    ]
    written = generate(
        loaded.model,
        [loaded.tokenizer.encode(prompt) for prompt in prompts],
        protocol.n_tokens,
        sampling=SamplingConfig(temperature=0),
        stop_ids=list(loaded.eos_ids),
    )
    return [
        (
            loaded.tokenizer.decode(answer.ids, skip_special_tokens=True).strip(),
            math.exp(sum(answer.log_probs) / len(answer.log_probs)),
        )
        for answer in written
    ]


def measure(name: str, seed: int, protocol: Protocol) -> dict:
    """Les réponses à un lot de questions : texte, confiance, juste ou non, avouée ou non."""
    loaded = load_pretrained(smollm2_path(), context_length=protocol.context_length)
    asked = QUESTIONS[name]
    answers = []
    for (question, truth), (text, confidence) in zip(
        asked, ask(loaded, [question for question, _ in asked], protocol), strict=True
    ):
        right = truth is not None and bool(re.search(rf"\b{truth}\b", text))
        found = {"question": question, "text": text, "confidence": confidence}
        answers.append(found | {"right": right, "avowed": avows(text)})
    return {"answers": answers}


EXPERIMENT = Experiment(
    "real_questions",
    "Pose à SmolLM2 des questions simples, dont la moitié n’ont pas de réponse.",
    Protocol(),
    tuple(QUESTIONS),
    measure,
    seeds=(0,),
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
