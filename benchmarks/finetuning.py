"""Un pas d’affinage : LoRA et complet, les nôtres face à `peft` et `transformers`, mêmes poids.

    python benchmarks/finetuning.py [--models petit smollm2] [--rounds 7]

Un seul fil. Les deux côtés lisent les mêmes lots de 8 × 64 jetons, avec le même optimiseur et le
même écrêtage, à tour de rôle dans un seul processus ; on compte le temps de processeur. La perte ne
compte que la réponse (16 positions sur 64), puis toutes les positions. `transformers` calcule dans
les deux cas les scores de toutes les positions, comme le fait son entraînement ; nous n’appliquons
la tête qu’aux positions apprises.

La mémoire est celle d’un processus neuf par mesure : le sommet de la mémoire résidente pendant
deux pas, moins ce qu’il occupait avant de charger le modèle, bibliothèques importées. On la lit
dans /proc (Linux) : `getrusage` rend, dans un processus né d’un plus gros, le sommet de son parent.
"""

import gc
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import peft
import torch
from report import markdown_table, write_report
from torch import Tensor, nn
from tqdm import tqdm
from transformers import LlamaForCausalLM
from transformers.utils import logging

from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.finetuning import LoRAConfig, attach_lora
from course_lib.models.shipped import load_petit_llm
from course_lib.pretrained import load_pretrained, save_folder, smollm2_path
from course_lib.training import IGNORE, TrainingConfig, build_optimizer, language_model_loss
from course_lib.transformer import count_parameters
from course_lib.typography import format_number

BATCH, LENGTH, ANSWER, RANK = 8, 64, 16, 8
STEPS = {"petit": 10, "smollm2": 1}  # pas par tour
METHODS = ("LoRA", "complet")
KEPT = {"réponse": ANSWER, "toutes": LENGTH}
SIDES = ("ours", "theirs")
REPORT = Path(__file__).parent / "resultats" / "finetuning.md"

Batch = tuple[Tensor, Tensor]
Step = Callable[[Batch], float]


def make_batch(vocab_size: int, n_kept: int, seed: int = 0) -> Batch:
    """(entrées, cibles), (B, T) : seules les `n_kept` dernières positions ont une cible."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocab_size, (BATCH, LENGTH + 1), generator=draw)
    targets = ids[:, 1:].clone()
    targets[:, : LENGTH - n_kept] = IGNORE
    return ids[:, :-1], targets


def our_model(folder: Path, method: str) -> tuple[nn.Module, Callable]:
    """Notre modèle prêt à s’affiner, et sa perte."""
    model = load_pretrained(folder, LENGTH).model.train()
    if method == "LoRA":
        attach_lora(model, LoRAConfig(RANK, 2.0 * RANK, targets=("query", "value")))
    return model, lambda batch: language_model_loss(model, batch)[0]


def their_model(folder: Path, method: str) -> tuple[nn.Module, Callable]:
    """Le modèle de `transformers`, adapté par `peft`, et sa perte."""
    logging.disable_progress_bar()
    model = LlamaForCausalLM.from_pretrained(folder, attn_implementation="sdpa").train()
    model.config.use_cache = False
    if method == "LoRA":
        settings = {"r": RANK, "lora_alpha": 2 * RANK, "target_modules": ["q_proj", "v_proj"]}
        model = peft.get_peft_model(model, peft.LoraConfig(**settings))

    def loss(batch: Batch) -> Tensor:
        logits = model(input_ids=batch[0]).logits
        flat = logits.flatten(0, 1), batch[1].flatten()  # (B·T, V), (B·T,)
        return nn.functional.cross_entropy(*flat, ignore_index=IGNORE)

    return model, loss


def open_side(side: str, folder: Path, method: str) -> Step:
    """Charge le modèle d’un côté ; rend la fonction qui fait un pas et en donne la perte."""
    model, loss_of = (our_model if side == "ours" else their_model)(folder, method)
    config = TrainingConfig(n_steps=1, learning_rate=1e-4)
    optimizer = build_optimizer(model, config)
    trained = [p for p in model.parameters() if p.requires_grad]

    def step(batch: Batch) -> float:
        loss = loss_of(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        optimizer.step()
        return loss.item()

    return step


def timed(step: Step, batch: Batch, n_steps: int) -> float:
    """Secondes de processeur par pas."""
    start = time.process_time()
    for _ in range(n_steps):
        step(batch)
    return (time.process_time() - start) / n_steps


def compare_times(
    folder: Path, method: str, batch: Batch, n_steps: int, rounds: int
) -> tuple[list[float], float]:
    """Secondes par pas de chaque côté, et médiane des rapports cours / référence."""
    steps = [open_side(side, folder, method) for side in SIDES]
    # Le premier pas échauffe la machine et vérifie que l’on compare bien la même chose.
    first = [step(batch) for step in steps]
    if abs(first[0] - first[1]) > 1e-3:
        raise ValueError(f"Les deux pertes diffèrent, {first} : ce ne sont pas les mêmes poids.")
    pairs = [[timed(step, batch, n_steps) for step in steps] for _ in range(rounds)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    return [statistics.median(times) for times in zip(*pairs, strict=True)], ratio


def status(field: str) -> int:
    """Octets de mémoire résidente : VmRSS, celle du moment ; VmHWM, le sommet."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def peak_memory(side: str, folder: Path, method: str, batch: Batch) -> int:
    """Octets de plus qu’avant de charger le modèle, au sommet de deux pas ; à faire seul."""
    torch.set_num_threads(1)
    before = status("VmRSS")
    step = open_side(side, folder, method)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # le sommet repart d’ici
    for _ in range(2):
        step(batch)
    return status("VmHWM") - before


def fresh_peak(*arguments) -> int:
    """`peak_memory` dans un processus neuf."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_memory, *arguments).result()


def publish(name: str, folder: Path) -> tuple[int, int]:
    """Écrit les poids que liront les deux côtés ; rend les tailles du modèle et du vocabulaire."""
    if name == "petit":
        model, tokenizer = load_petit_llm()
    else:
        loaded = load_pretrained(smollm2_path())
        model, tokenizer = loaded.model, loaded.tokenizer
    save_folder(model, tokenizer, folder)
    return count_parameters(model), model.embedding.tokens.num_embeddings


def measure(name: str, rounds: int, bar: tqdm) -> list[list[str]]:
    """Les lignes du tableau pour un modèle."""
    rows = []
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / name
        n_parameters, vocab_size = publish(name, folder)
        for method in METHODS:
            for kept, n_kept in KEPT.items():
                batch = make_batch(vocab_size, n_kept)
                seconds, ratio = compare_times(folder, method, batch, STEPS[name], rounds)
                gc.collect()
                peaks = [fresh_peak(side, folder, method, batch) for side in SIDES]
                rows.append(
                    [
                        f"{name} ({format_number(n_parameters, 0)})",
                        method,
                        kept,
                        *(format_number(1000 * value, 0 if value > 1 else 1) for value in seconds),
                        format_number(ratio, 2),
                        *(format_number(value / 1e6, 0) for value in peaks),
                        format_number(peaks[0] / peaks[1], 2),
                    ]
                )
                bar.update()
    return rows


def main() -> None:
    """Mesure chaque modèle et écrit le tableau."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=STEPS, default=list(STEPS), help="modèles")
    parser.add_argument("--rounds", type=positive_int, default=7, help="nombre de tours")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tqdm(total=len(options.models) * len(METHODS) * len(KEPT), desc="Mesures") as bar:
        rows = [row for name in options.models for row in measure(name, options.rounds, bar)]
    headers = ["modèle (paramètres)", "affinage", "positions apprises", "cours (ms/pas)"]
    headers += ["référence (ms/pas)", "rapport des temps", "cours (Mo)", "référence (Mo)"]
    note = (
        "Refaire : `python benchmarks/finetuning.py`. Référence : `transformers`, avec `peft` pour "
        f"LoRA (rang {RANK}, requêtes et valeurs). Lots de {BATCH} × {LENGTH} jetons, fp32, 1 fil, "
        f"temps de processeur, médiane de {options.rounds} tours. « Réponse » : {ANSWER} positions "
        f"sur {LENGTH} ont une cible. Mémoire : sommet de deux pas dans un processus neuf, moins "
        "ce qu’il occupait avant de charger le modèle. Rapports cours / référence : moins de 1, le "
        "cours est le plus léger."
    )
    table = markdown_table([*headers, "rapport des mémoires"], rows)
    write_report(REPORT, "Affiner", note, table)


if __name__ == "__main__":
    main()
