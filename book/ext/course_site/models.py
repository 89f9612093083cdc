"""Met à la portée des pages les modèles que le cours livre : poids, tailles, tokeniseur."""

import shutil
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[3] / "course_lib" / "experiments" / "results"
FILES = ("model.safetensors", "config.json", "tokenizer.json")


def copy_models(app, exception):
    """Copie chaque modèle complet de `results/` sous `_static/models/`, un dossier par modèle."""
    if exception or app.builder.format != "html":
        return
    for weights in sorted(RESULTS.glob(f"*/{FILES[0]}")):
        if not all((weights.parent / name).is_file() for name in FILES):
            continue
        folder = Path(app.outdir, "_static", "models", weights.parent.name)
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copyfile(weights.parent / name, folder / name)


def setup(app):
    """Inscrit la copie, à la fin de la construction."""
    app.connect("build-finished", copy_models)
