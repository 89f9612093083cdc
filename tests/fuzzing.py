"""Abîmer des fichiers de toutes les façons, et vérifier que leur lecteur les lit ou les refuse.

    python tests/fuzzing.py --files 20000        (une vingtaine de secondes par lecteur)

Un fichier abîmé doit être lu, ou refusé par ValueError (FileNotFoundError s’il nomme un fichier qui
n’est pas là) : ni autre exception, ni lenteur, ni mémoire prise sur la foi d’une longueur annoncée,
ni fichier écrit. La commande finit en erreur sinon.
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
MAX_SECONDS = 2.0  # de processeur : une machine chargée n’y change rien
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
    seeds: Sequence[object],
    n_files: int,
    place: Path,
    seed: int = 0,
    progress: bool = False,
    damage: Callable[[object, random.Random], bytes] = mutate,
) -> Counter:
    """Lit `n_files` fichiers abîmés ; compte « lu », « refusé », et le reste.

    `damage` abîme une semence : ses octets (`mutate`), ou son contenu.
    """
    draw, outcomes, before = random.Random(seed), Counter(), peak_memory()
    files = sorted(place.parent.rglob("*"))
    for _ in tqdm(range(n_files), disable=not progress, desc="Fichiers abîmés"):
        place.write_bytes(damage(draw.choice(seeds), draw))
        start = time.process_time()
        try:
            read(place)
            outcomes["lu"] += 1
        except (ValueError, FileNotFoundError):
            outcomes["refusé"] += 1
        except Exception as error:
            outcomes[f"{type(error).__name__} : {error}"] += 1
        if time.process_time() - start > MAX_SECONDS:
            outcomes["trop lent"] += 1
    place.unlink(missing_ok=True)
    if sorted(set(place.parent.rglob("*")) - {place}) != sorted(set(files) - {place}):
        outcomes["fichiers écrits"] += 1
    if peak_memory() - before > MAX_MEMORY:
        outcomes["trop de mémoire"] += 1
    return outcomes


def surprises(outcomes: Counter) -> dict[str, int]:
    """Ce qui n’est ni lu ni refusé."""
    return {name: n for name, n in outcomes.items() if name not in ("lu", "refusé")}


# ------------------------------------------------------------------ les lecteurs et leurs semences


def gguf_seeds(folder: Path) -> list[bytes]:
    """Quelques petits GGUF : réglages de toutes sortes, tenseurs de plusieurs formats."""
    from course_lib.pretrained.gguf.writer import write_gguf

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
    from course_lib.pretrained.gguf.reader import GGUFFile

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


def sharded_folder(folder: Path) -> Path:
    """Le même dossier, ses tenseurs dans deux fichiers et un index."""
    from safetensors.torch import load_file, save_file

    save_small_model(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, index = sorted(tensors), {}
    for rank, part in enumerate((names[::2], names[1::2])):
        file_name = f"model-{rank}.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file_name)
        index |= dict.fromkeys(part, file_name)
    content = json.dumps({"metadata": {"total_size": 1}, "weight_map": index}, indent=1)
    (folder / "model.safetensors.index.json").write_text(content)
    return folder


def weights_reader(folder: Path, name: str, same: bool = False) -> Callable[[Path], None]:
    """Lit tous les tenseurs d’un dossier dont le fichier `name` est celui qu’on lui donne.

    `same` : s’ils sont lus, ce doit être les mêmes qu’avant (un index ne fait que dire où ils
    sont ; il peut en oublier, que `load_pretrained` réclame ensuite).
    """
    import torch

    from course_lib.pretrained.folders.reading import FolderWeights

    def read_all() -> dict[str, torch.Tensor]:
        with FolderWeights(folder) as weights:
            return {one: weights.tensor(one) for one in weights.shapes}

    expected = read_all() if same else {}

    def read(path: Path) -> None:
        path.replace(folder / name)
        found = read_all()
        if same and not all(torch.equal(found[one], expected[one]) for one in found):
            raise AssertionError("lu avec d’autres tenseurs")

    return read


def folder_reader(folder: Path, name: str) -> Callable[[Path], None]:
    """Charge un dossier dont le fichier `name` est celui qu’on lui donne."""
    from course_lib.pretrained.loading import load_pretrained

    def read(path: Path) -> None:
        path.replace(folder / name)
        load_pretrained(folder)

    return read


def save_small_adapter(folder: Path):
    """Un dossier d’adaptateur ; rend sa base, nue."""
    import torch

    from course_lib.finetuning import LoRAConfig, attach_lora, detach_adapters, save_adapter
    from course_lib.transformer import LlamaConfig, llama

    model = llama(LlamaConfig(53, 11, 6, 1, 1, d_ff=7))
    attach_lora(model, LoRAConfig(2, 7.0, targets=("query", "down")))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    save_adapter(model, folder, base_model="petite base")
    return detach_adapters(model)


def adapter_reader(folder: Path, model, name: str) -> Callable[[Path], None]:
    """Lit un dossier d’adaptateur dont le fichier `name` est celui qu’on lui donne.

    Ce qui est lu doit être ce qui fut enregistré, aux réglages que dit le fichier.
    """
    import torch
    from safetensors.torch import load_file

    from course_lib.finetuning import detach_adapters, load_adapter
    from course_lib.finetuning.lora import lora_layers

    expected = load_file(folder / "adapter_model.safetensors")

    def read(path: Path) -> None:
        path.replace(folder / name)
        load_adapter(model, folder)
        text = (folder / "adapter_config.json").read_bytes().decode("utf-8-sig")
        settings, found = json.loads(text), {}
        for layer, adapted in lora_layers(model).items():
            weights = adapted.adapters["default"]
            assert weights.config.alpha == settings["lora_alpha"]
            assert weights.config.rank_stabilized == bool(settings.get("use_rslora"))
            found[f"base_model.model.{layer}.lora_A.weight"] = weights.a
            found[f"base_model.model.{layer}.lora_B.weight"] = weights.b
        detach_adapters(model)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)

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
        readers = {"GGUF": (read_gguf, gguf_seeds(folder))}
        weights, index = "model.safetensors", "model.safetensors.index.json"
        save_small_model(folder / "poids")
        save_small_model(folder / "reglages")
        sharded_folder(folder / "index")
        makers = {
            ("poids", weights): weights_reader(folder / "poids", weights),
            ("index", index): weights_reader(folder / "index", index, same=True),
            ("reglages", "config.json"): folder_reader(folder / "reglages", "config.json"),
        }
        for (title, name), read in makers.items():
            readers[title] = (read, [(folder / title / name).read_bytes()])
        for title, (read, seeds) in readers.items():
            place = folder / "abime"
            outcomes = fuzz(read, seeds, options.files, place, options.seed, progress=True)
            print(title, json.dumps(dict(outcomes), ensure_ascii=False), flush=True)
            failed = failed or bool(surprises(outcomes))
        adapter = folder / "adaptateur"
        base = save_small_adapter(adapter)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            content, n_files = (adapter / name).read_bytes(), options.files // 2
            reader = adapter_reader(adapter, base, name)
            outcomes = fuzz(reader, [content], n_files, folder / "abime", options.seed)
            (adapter / name).write_bytes(content)
            print("adaptateur,", name, json.dumps(dict(outcomes), ensure_ascii=False))
            failed = failed or bool(surprises(outcomes))
        for name, seeds in text_seeds().items():
            n_files = options.files * len(seeds) // 19  # en tout, options.files
            outcomes = fuzz(read_user_file, seeds, n_files, folder / name, options.seed)
            print(f"texte, {name}", json.dumps(dict(outcomes), ensure_ascii=False))
            failed = failed or bool(surprises(outcomes))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
