"""Met à la portée des pages les modèles que le cours livre : poids, tailles, tokeniseur."""

import shutil
from pathlib import Path

MODELS = Path(__file__).resolve().parents[3] / "course_lib" / "models"
FILES = ("model.safetensors", "config.json", "tokenizer.json")


def copy_models(app, exception):
    """Copie sous `_static/models/` chaque modèle complet de `course_lib/models/`.

    Un GGUF est complet à lui seul : il porte ses réglages et son tokeniseur.
    """
    if exception or app.builder.format != "html":
        return
    for weights in sorted(MODELS.glob("*/*.gguf")):
        folder = Path(app.outdir, "_static", "models", weights.parent.name)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights, folder / weights.name)
    for weights in sorted(MODELS.glob(f"*/{FILES[0]}")):
        if not all((weights.parent / name).is_file() for name in FILES):
            continue
        folder = Path(app.outdir, "_static", "models", weights.parent.name)
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copyfile(weights.parent / name, folder / name)


def setup(app):
    """Inscrit la copie, à la fin de la construction."""
    app.connect("build-finished", copy_models)
