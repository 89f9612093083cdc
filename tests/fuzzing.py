"""Abîmer des fichiers de toutes les façons, et vérifier que leur lecteur les lit ou les refuse.

    python tests/fuzzing.py --files 20000        (une vingtaine de secondes par lecteur)

Un fichier abîmé doit être lu, ou refusé par ValueError : ni autre exception, ni lenteur, ni mémoire
prise sur la foi d’une longueur annoncée. La commande finit en erreur sinon.
"""

import argparse
import bz2
import gzip
import io
import json
import lzma
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

HUGE = (0, 1, 7, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1)
MAX_SECONDS = 1.0
MAX_MEMORY = 512 * 2**20  # au-dessus de ce que le programme occupe déjà


def mutate(seed_bytes: bytes, draw: random.Random) -> bytes:
    """Une copie abîmée : octets changés, longueurs absurdes, morceaux ôtés, doublés, déplacés."""
    content = bytearray(seed_bytes)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        place = draw.randrange(max(1, len(content)))
        # Les débuts de fichier portent les longueurs : on y revient souvent.
        if draw.random() < 0.6:
            place = draw.randrange(max(1, min(len(content), 1200)))
        action = draw.randrange(7)
        if action == 0 and content:
            content[place % len(content)] ^= 1 << draw.randrange(8)
        elif action == 1:
            del content[place:]
        elif action == 2:
            width = draw.choice((4, 8))
            value = draw.choice(HUGE) % 2 ** (8 * width)
            content[place : place + width] = value.to_bytes(width, "little")
        elif action == 3:
            content[place : place + draw.randrange(1, 40)] = b""
        elif action == 4:
            piece = content[place : place + draw.randrange(1, 80)]
            content[place:place] = piece * draw.choice((1, 3, 50))
        elif action == 5:
            noise = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 30)))
            content[place : place + len(noise)] = noise
        else:
            other = draw.randrange(max(1, len(content)))
            size = draw.randrange(1, 64)
            a, b = content[place : place + size], content[other : other + size]
            content[place : place + size], content[other : other + size] = b, a
    return bytes(content)


def peak_memory() -> int:
    """Plus grande mémoire prise jusqu’ici, en octets."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(
    read: Callable[[Path], object],
    seeds: Sequence[bytes],
    n_files: int,
    place: Path,
    seed: int = 0,
    progress: bool = False,
) -> Counter:
    """Lit `n_files` fichiers abîmés ; compte « lu », « refusé », et le reste."""
    draw, outcomes, before = random.Random(seed), Counter(), peak_memory()
    for _ in tqdm(range(n_files), disable=not progress, desc="Fichiers abîmés"):
        place.write_bytes(mutate(draw.choice(seeds), draw))
        start = time.perf_counter()
        try:
            read(place)
            outcomes["lu"] += 1
        except ValueError:
            outcomes["refusé"] += 1
        except Exception as error:
            outcomes[f"{type(error).__name__} : {error}"] += 1
        if time.perf_counter() - start > MAX_SECONDS:
            outcomes["trop lent"] += 1
    if peak_memory() - before > MAX_MEMORY:
        outcomes["trop de mémoire"] += 1
    return outcomes


def surprises(outcomes: Counter) -> dict[str, int]:
    """Ce qui n’est ni lu ni refusé."""
    return {name: n for name, n in outcomes.items() if name not in ("lu", "refusé")}


# ------------------------------------------------------------------ les lecteurs et leurs semences


def gguf_seeds(folder: Path) -> list[bytes]:
    """Quelques petits GGUF : réglages de toutes sortes, tenseurs de plusieurs formats."""
    from course_lib.pretrained.gguf_writer import write_gguf

    draw = np.random.default_rng(0)
    settings = {
        "general.architecture": "llama",
        "general.alignment": 32,
        "un.entier": -3,
        "un.long": np.uint64(2**40),
        "un.reel": 0.5,
        "un.booleen": True,
        "tokenizer.ggml.tokens": ["le", "chat", "é", ""] * 5,
        "des.reels": [0.5, -1.5],
        "des.entiers": [1, 2, 3],
    }
    tensors = [
        ("a.weight", draw.standard_normal((3, 64)).astype(np.float32), "Q8_0"),
        ("b.weight", draw.standard_normal((5, 7)).astype(np.float32), "F16"),
        ("c.weight", draw.standard_normal(11).astype(np.float32), "F32"),
    ]
    seeds = []
    for n_settings, n_tensors in ((len(settings), 3), (2, 1), (5, 0)):
        path = folder / "semence.gguf"
        write_gguf(path, dict(list(settings.items())[:n_settings]), tensors[:n_tensors])
        seeds.append(path.read_bytes())
    return seeds


def read_gguf(path: Path) -> None:
    """Ouvre un GGUF et lit tous ses tenseurs."""
    from course_lib.pretrained.gguf_reader import GGUFFile

    with GGUFFile(path) as file:
        for name in file.tensors:
            file.tensor(name)


def safetensors_seeds(folder: Path) -> list[bytes]:
    """Les poids d’un petit modèle, comme un dossier Hugging Face les range."""
    model_folder = folder / "semence"
    save_small_model(model_folder)
    return [(model_folder / "model.safetensors").read_bytes()]


def save_small_model(folder: Path) -> None:
    """Un dossier complet : config.json, model.safetensors, tokenizer.json."""
    from course_lib.pretrained.saving import save_folder
    from course_lib.tokenization import BPETokenizer
    from course_lib.transformer import LlamaConfig, llama

    tokenizer = BPETokenizer.train(["le chat dort", "la chatte dort"], 280)
    model = llama(LlamaConfig(tokenizer.vocab_size, 11, 6, 1, 1, d_ff=7))
    save_folder(model, tokenizer, folder)


def folder_reader(folder: Path) -> Callable[[Path], None]:
    """Lit un dossier dont le fichier de poids est celui qu’on lui donne."""
    from course_lib.pretrained.loading import load_pretrained

    def read(path: Path) -> None:
        path.replace(folder / "model.safetensors")
        load_pretrained(folder)

    return read


def config_reader(folder: Path) -> Callable[[Path], None]:
    """Lit un dossier dont le config.json est celui qu’on lui donne."""
    from course_lib.pretrained.loading import load_pretrained

    def read(path: Path) -> None:
        path.replace(folder / "config.json")
        load_pretrained(folder)

    return read


def text_seeds() -> dict[str, list[bytes]]:
    """De petits textes, par nom de fichier : encodages, pages, tableaux, fichiers compressés."""
    french = "Le cœur de l’été bat ; « où es-tu, garçon naïf ? » dit-elle à l’élève…\n" * 3
    western = french.replace("’", "'").replace("…", "...").replace("«", '"').replace("»", '"')
    rows = [{"id": 1, "text": french}, {"id": 2, "text": "Bonjour à toi."}]
    cells = [{"cell_type": "markdown", "source": [french]}, {"cell_type": "code", "source": "a"}]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", french)
    encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "mac-roman")
    return {
        "abime.txt": [french.encode(e) for e in encodings]
        + [western.encode("iso8859-15"), western.replace("œ", "oe").encode("cp850")],
        "abime": [packed.getvalue()]
        + [module.compress(french.encode()) for module in (gzip, bz2, lzma)],
        "abime.jsonl": ["\n".join(json.dumps(row) for row in rows).encode()],
        "abime.json": [json.dumps(rows).encode(), json.dumps({"cells": cells}).encode()],
        "abime.csv": [f'id;text\n1;"{french}"\n2;Salut\n'.encode("cp1252")],
        "abime.html": [f"<!DOCTYPE html><html><body><p>{french}</p></body></html>".encode()],
        "abime.xml": [f'<?xml version="1.0"?><TEI><text><p>{french}</p></text></TEI>'.encode()],
    }


def read_user_file(path: Path) -> None:
    """Lit un texte comme le fait la commande d’entraînement."""
    from course_lib.corpora.user_text import read_user_text

    read_user_text(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000, help="fichiers abîmés par lecteur")
    parser.add_argument("--seed", type=int, default=0, help="graine")
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "modele"
        save_small_model(model)
        config = (model / "config.json").read_bytes()
        cases = {
            "GGUF": (read_gguf, gguf_seeds(folder), options.files),
            "dossier, poids": (folder_reader(model), safetensors_seeds(folder), options.files),
        }
        for title, (read, seeds, n_files) in cases.items():
            outcomes = fuzz(read, seeds, n_files, folder / "abime", options.seed, progress=True)
            print(title, json.dumps(dict(outcomes), ensure_ascii=False))
            failed = failed or bool(surprises(outcomes))
        for name, seeds in text_seeds().items():
            n_files = options.files * len(seeds) // 19  # en tout, options.files
            outcomes = fuzz(read_user_file, seeds, n_files, folder / name, options.seed)
            print(f"texte, {name}", json.dumps(dict(outcomes), ensure_ascii=False))
            failed = failed or bool(surprises(outcomes))
        save_small_model_again = folder / "modele2"
        save_small_model(save_small_model_again)
        reader = config_reader(save_small_model_again)
        outcomes = fuzz(reader, [config], options.files // 10, folder / "abime", options.seed)
        print("dossier, réglages", json.dumps(dict(outcomes), ensure_ascii=False))
        failed = failed or bool(surprises(outcomes))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
