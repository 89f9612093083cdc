"""Le petit LLM chez les autres : enregistré, puis relu par transformers et par llama.cpp.

    python benchmarks/export.py

Sans llama.cpp (`benchmarks/requirements.txt`, que « python cours.py bench » installe), ses lignes
manquent.

Rien n’est entraîné. Le modèle est enregistré en dossier Hugging Face et en GGUF (F32, F16, Q8_0) ;
chaque lecteur poursuit les mêmes cent débuts d’histoires, par choix glouton, à partir des mêmes
identifiants de jetons. On compare à notre modèle les suites écrites et les scores du premier jeton.
Le tableau est aussi écrit dans benchmarks/resultats/export.md.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import transformers
from report import markdown_table, write_report
from tqdm import tqdm

from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.corpora import generate_stories
from course_lib.models.shipped import load_petit_llm
from course_lib.pretrained.loading import load_pretrained
from course_lib.pretrained.saving import save_folder, save_gguf
from course_lib.tokenization import Tokenizer
from course_lib.typography import format_number

RESULTS = Path(__file__).parent / "resultats" / "export.md"
PROMPT_LENGTH = 12
KINDS = ("F32", "F16", "Q8_0")
HAS_LLAMA_CPP = find_spec("llama_cpp") is not None
ABSENT = "llama.cpp n’était pas installé : ses lignes manquent."
GGML_F32, GGML_F16 = 0, 1  # formats de la mémoire cache de llama.cpp

Scores = Callable[[list[int]], np.ndarray]  # des ids, rendus avec les scores du jeton suivant


@dataclass(frozen=True)
class Continuation:
    """Une suite écrite : ses ids, et les scores (V,) d’où vient chacun."""

    ids: list[int]
    scores: list[np.ndarray]


def write(scores: Scores, prompt: list[int], n_new: int, eos_id: int) -> Continuation:
    """Poursuit par choix glouton, jeton de fin compris."""
    ids, rows = list(prompt), []
    while len(rows) < n_new and (not rows or ids[-1] != eos_id):
        rows.append(scores(ids))
        ids.append(int(rows[-1].argmax()))
    return Continuation(ids[len(prompt) :], rows)


def torch_reader(model: torch.nn.Module) -> Scores:
    """Nos modèles et ceux de transformers : tout relire à chaque jeton, le plus sûr."""

    def scores(ids: list[int]) -> np.ndarray:
        with torch.inference_mode():
            output = model(torch.tensor([ids]))
        return getattr(output, "logits", output)[0, -1].numpy()

    return scores


def llama_reader(path: Path, cache: int) -> Scores:
    """llama.cpp, qui garde en mémoire cache ce qu’il a lu."""
    import llama_cpp

    model = llama_cpp.Llama(
        str(path),
        n_ctx=0,
        n_threads=1,
        n_threads_batch=1,
        n_gpu_layers=0,
        type_k=cache,
        type_v=cache,
        logits_all=True,
        verbose=False,
    )

    def scores(ids: list[int]) -> np.ndarray:
        known = model.n_tokens
        if known >= len(ids) or model.input_ids[:known].tolist() != ids[:known]:
            model.reset()
            known = 0
        model.eval(ids[known:])
        return np.array(model.scores[model.n_tokens - 1])

    scores.model = model
    return scores


def readers(folder: Path) -> Iterator[tuple[str, str, Scores]]:
    """Les lecteurs à comparer : (lecteur, fichier, scores)."""
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder / "dossier").eval()
    yield "transformers", "dossier, F32", torch_reader(reference)
    for kind in KINDS:
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=f"{kind}.gguf", dtype=torch.float32
        )
        yield "transformers", f"GGUF, {kind}", torch_reader(theirs.eval())
    if not HAS_LLAMA_CPP:
        print(f"{ABSENT} Installez-le : pip install -r benchmarks/requirements.txt")
        return
    for kind in KINDS:
        cache = GGML_F32 if kind == "F32" else GGML_F16  # F16 : le réglage d’origine
        yield "llama.cpp", f"GGUF, {kind}", llama_reader(folder / f"{kind}.gguf", cache)


def compare(expected: list[Continuation], actual: list[Continuation]) -> list[str]:
    """Suites égales, écart des scores au premier jeton, avance perdue au premier désaccord."""
    pairs = list(zip(expected, actual, strict=True))
    gap = max(float(np.abs(ours.scores[0] - theirs.scores[0]).max()) for ours, theirs in pairs)
    leads = []
    for ours, theirs in pairs:
        steps = zip(ours.scores, ours.ids, theirs.ids, strict=False)
        lead = next((s[mine] - s[other] for s, mine, other in steps if mine != other), None)
        if lead is not None:
            leads.append(float(lead))
    n_equal = sum(ours.ids == theirs.ids for ours, theirs in pairs)
    assert n_equal + len(leads) == len(pairs)
    return [f"{n_equal} / {len(pairs)}", scientific(gap), scientific(max(leads)) if leads else ""]


def scientific(value: float) -> str:
    """« 8,6e-06 », ou « 0 »."""
    return f"{value:.1e}".replace(".", ",") if value else "0"


def same_tokens(path: Path, tokenizer: Tokenizer, texts: list[str]) -> str:
    """Combien de textes llama.cpp découpe comme nous, sans rien ajouter."""
    if not HAS_LLAMA_CPP:
        return ABSENT
    split = llama_reader(path, GGML_F16).model.tokenize
    n_same = sum(
        split(text.encode(), add_bos=False, special=True) == tokenizer.encode(text)
        for text in texts
    )
    return f"Il découpe comme nous {n_same} histoires sur {len(texts)}."


def main() -> None:
    """Enregistre, relit, compare, affiche le tableau et l’écrit."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stories", type=positive_int, default=100, help="débuts d’histoires")
    parser.add_argument("--tokens", type=positive_int, default=48, help="jetons écrits, au plus")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, tokenizer = load_petit_llm()
    texts = [story.text for story in generate_stories(options.stories, "test")]
    prompts = [[tokenizer.bos_id, *tokenizer.encode(text)][:PROMPT_LENGTH] for text in texts]

    def continuations(scores: Scores) -> list[Continuation]:
        return [write(scores, prompt, options.tokens, tokenizer.eos_id) for prompt in prompts]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_folder(model, tokenizer, folder / "dossier")
        for kind in KINDS:
            save_gguf(model, tokenizer, folder / f"{kind}.gguf", kind, name="petit LLM")
        expected = continuations(torch_reader(model))
        rows = []
        for kind in ("dossier", "F16.gguf", "Q8_0.gguf"):
            ours = torch_reader(load_pretrained(folder / kind).model)
            label = kind.removesuffix(".gguf")
            file = "dossier, F32" if kind == "dossier" else f"GGUF, {label}"
            rows.append(["cours", file, *compare(expected, continuations(ours))])
        for reader, file, scores in tqdm(list(readers(folder)), leave=False):
            rows.append([reader, file, *compare(expected, continuations(scores))])
        tokens = same_tokens(folder / "F16.gguf", tokenizer, texts)
        sizes = {k: (folder / f"{k}.gguf").stat().st_size / 1e6 for k in KINDS}
    scale = max(float(np.abs(c.scores[0]).max()) for c in expected)
    headers = ("lecteur", "fichier", "suites égales", "écart au premier jeton", "avance perdue")
    shown = ", ".join(f"{kind} {format_number(size, 2)} Mo" for kind, size in sizes.items())
    note = (
        "Refaire : `python benchmarks/export.py` (llama.cpp d’abord : "
        f"`benchmarks/requirements.txt`). Le petit LLM, {options.stories} débuts d’histoires de "
        f"{PROMPT_LENGTH} jetons, {options.tokens} jetons au plus, choix glouton. Les scores du "
        f"premier jeton vont jusqu’à {format_number(scale, 1)} en valeur absolue ; l’écart est le "
        "plus grand, tous jetons du vocabulaire confondus. L’avance perdue est ce que notre modèle "
        "donnait de plus à son jeton qu’à celui de l’autre, au premier désaccord, au pire : les "
        "histoires tirent au sort noms, lieux et métiers, que le modèle met presque à égalité ; un "
        "arrondi suffit à en choisir un autre. Nos poids livrés sont déjà arrondis en F16 : ce "
        "format ne leur coûte rien. llama.cpp calcule en F16 avec des poids F16 (mémoire cache "
        "comprise), sur 8 bits avec des poids Q8_0 ; sa ligne F32 a une mémoire cache en F32. "
        f"{tokens} Tailles : {shown}."
    )
    write_report(RESULTS, "Le petit LLM chez les autres", note, markdown_table(headers, rows))


if __name__ == "__main__":
    main()
