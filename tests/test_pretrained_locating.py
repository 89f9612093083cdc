"""Ce que l’on donne à load_pretrained : le modèle est trouvé, ou le message dit la suite."""

import errno
import io
import json
import re
import tarfile
import zipfile

import pytest
import torch
from pretrained_references import reference, rewrite_json, save_reference, tokenizer_for
from safetensors.torch import load_file, save_file

from course_lib.pretrained.families import read_config
from course_lib.pretrained.folders import locating
from course_lib.pretrained.loading import load_pretrained

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


@pytest.fixture
def model(tmp_path):
    """Un dossier qui se charge."""
    return save_reference(reference("llama"), "llama", tmp_path / "modele")


def refusal(path, kind=ValueError):
    """Le message du refus."""
    with pytest.raises(kind) as caught:
        load_pretrained(path)
    return str(caught.value)


# ------------------------------------------------------------------ noms et chemins


@pytest.mark.parametrize("prefix", ["", "https://huggingface.co/", "hf.co/"])
def test_a_name_of_the_hub_says_how_to_get_it(prefix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal(prefix + "HuggingFaceTB/SmolLM2-135M", FileNotFoundError)
    assert "« hf download HuggingFaceTB/SmolLM2-135M --local-dir SmolLM2-135M »" in message
    assert "load_pretrained('SmolLM2-135M')" in message


def test_home_is_expanded(model, monkeypatch):
    monkeypatch.setenv("HOME", str(model.parent))
    assert load_pretrained("~/modele").family == "llama"
    assert str(model.parent / "absent") in refusal("~/absent", FileNotFoundError)
    assert "dossier personnel est inconnu" in refusal("~personne-ici/x", FileNotFoundError)


def test_what_is_not_a_path(tmp_path):
    with pytest.raises(TypeError, match="reçu int"):
        load_pretrained(3)
    for wrong in ("", "  ", "a\0b"):
        assert "n’est pas un chemin" in refusal(wrong)
    (tmp_path / "lien.gguf").symlink_to(tmp_path / "parti.gguf")
    assert "est un lien vers" in refusal(tmp_path / "lien.gguf", FileNotFoundError)
    assert "trop long" in refusal("x" * 5000, OSError)


def test_a_forbidden_file_is_said_in_french(model, monkeypatch):
    def forbid(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(locating, "check_not_pointer", forbid)
    message = refusal(model, PermissionError)
    assert f"« {model} » : permission refusée. Vérifiez vos droits" in message


# ------------------------------------------------------------------ cache du dépôt


def test_the_cache_of_the_hub_is_followed(model, tmp_path):
    root = tmp_path / "models--auteur--nom"
    (root / "snapshots").mkdir(parents=True)
    assert "On ne sait" not in refusal(root) and "(aucune)" in refusal(root)
    model.rename(root / "snapshots" / "aaa")
    assert load_pretrained(root).family == "llama"
    assert load_pretrained(root / "snapshots").family == "llama"
    (root / "snapshots" / "bbb").mkdir()
    assert str(root / "snapshots" / "aaa") in refusal(root)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("aaa\n")
    assert load_pretrained(root).family == "llama"
    assert f"donnez par exemple « {root} »" in refusal(tmp_path, FileNotFoundError)


# ------------------------------------------------------------------ dossiers qui n’en sont pas


def test_an_adapter_is_not_a_model(model, tmp_path):
    lora = tmp_path / "lora"
    lora.mkdir()
    (lora / "adapter_config.json").write_text('{"base_model_name_or_path": "auteur/base"}')
    message = refusal(lora)
    assert "la retouche de « auteur/base »" in message
    assert f"load_adapter(modèle, {str(lora)!r})" in message
    (model / "adapter_config.json").write_text("{}")
    assert "aussi un adaptateur" in refusal(model)


def test_a_pickle_says_how_to_convert_and_the_recipe_works(tmp_path):
    """Comme CroissantLLMBase sur « main » : config.json, tokenizer.json, pytorch_model.bin."""
    theirs = reference("llama")
    folder = tmp_path / "croissant"
    folder.mkdir()
    theirs.config.save_pretrained(folder)
    rewrite_json(folder / "config.json", architectures=["LlamaForCausalLM"], pretraining_tp=1)
    tokenizer_for("llama").save(folder / "tokenizer.json")
    torch.save(theirs.state_dict(), folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "est un pickle" in message and "si vous vous fiez à l’auteur" in message
    exec(message.split(":\n")[1], {})  # la recette, telle que le message la donne
    ids = torch.arange(1, 12)[None]
    with torch.no_grad():
        gap = (load_pretrained(folder).model(ids) - theirs(ids).logits).abs().max()
    assert gap <= 1e-5


@pytest.mark.parametrize(
    "name, message",
    [
        ("onnx/model.onnx", "que des poids ONNX"),
        ("tf_model.h5", "que des poids TensorFlow"),
        ("flax_model.msgpack", "que des poids Flax"),
        ("model-00001-of-00002.safetensors", "ni l’index « model.safetensors.index.json »"),
        ("consolidated.safetensors", "a « consolidated.safetensors », mais ni « model.safe"),
        ("modele.Q4_0.gguf", r"donnez le fichier, load_pretrained\('.*modele\.Q4_0\.gguf'\)"),
        ("README.md", "les poids manquent. Téléchargez-le en entier"),
    ],
)
def test_weights_of_another_kind_are_named(name, message, model):
    (model / "model.safetensors").unlink()
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"x")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_pretrained(model)


def test_a_folder_named_gguf_or_around_the_model(model, tmp_path):
    (tmp_path / "x.gguf").mkdir()
    assert "est-ce un modèle ?" in refusal(tmp_path / "x.gguf", FileNotFoundError)
    (tmp_path / "x.gguf" / "y.gguf").write_bytes(b"GGUF")
    assert "y.gguf" in refusal(tmp_path / "x.gguf", FileNotFoundError)
    assert f"donnez par exemple « {model} »" in refusal(tmp_path, FileNotFoundError)
    (model / "a-cote.gguf").write_bytes(b"GGUF")  # les deux : le dossier l’emporte
    assert load_pretrained(model).family == "llama"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_pointer_of_lfs_is_named(name, model):
    (model / name).write_text(POINTER)
    message = refusal(model)
    assert f"{name} » n’est qu’un pointeur de Git LFS ({len(POINTER)} octets)" in message
    assert "git lfs pull" in message and "hf download" in message


# ------------------------------------------------------------------ fichiers qui n’en sont pas


def test_files_that_are_not_models(model, tmp_path):
    assert f"donnez le dossier, « {model} »" in refusal(model / "config.json")
    assert f"donnez le dossier, « {model} »" in refusal(model / "model.safetensors")
    (tmp_path / "m.gguf").write_text(POINTER)
    assert "pointeur de Git LFS" in refusal(tmp_path / "m.gguf")
    (tmp_path / "vide.gguf").write_bytes(b"")
    assert "0 octets, moins que l’en-tête" in refusal(tmp_path / "vide.gguf")
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07")
    assert "est un modèle ONNX" in refusal(tmp_path / "m.onnx")
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("config.json", "{}")
    assert "archive zip : décompressez-la" in refusal(tmp_path / "m.zip")
    for mode, kind in (("w", "tar"), ("w:gz", "gzip")):
        with tarfile.open(tmp_path / f"m.{kind}", mode) as archive:
            archive.addfile(tarfile.TarInfo("config.json"), io.BytesIO())
        assert f"archive {kind} :" in refusal(tmp_path / f"m.{kind}")


# ------------------------------------------------------------------ JSON, poids quantifiés


def test_settings_with_a_byte_order_mark_are_read(model):
    for name in ("config.json", "generation_config.json"):
        (model / name).write_bytes(b"\xef\xbb\xbf" + (model / name).read_bytes())
    assert load_pretrained(model).family == "llama"


def test_a_setting_written_twice_is_refused(model):
    path = model / "config.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace("{", '{"rms_norm_eps": 0.5,', 1), encoding="utf-8")
    assert "« rms_norm_eps » y est deux fois, avec deux valeurs" in refusal(model)


@pytest.mark.parametrize("suffix", ["qweight", "qzeros", "weight.absmax", "SCB", "weight_packed"])
def test_quantized_tensors_are_named(suffix, model):
    tensors = load_file(model / "model.safetensors")
    old = "model.layers.0.mlp.up_proj.weight"
    if suffix != "weight.absmax":
        del tensors[old]
    packed = f"model.layers.0.mlp.up_proj.{suffix}"
    save_file(tensors | {packed: torch.ones(3)}, model / "model.safetensors", {"format": "pt"})
    assert re.search("montre des poids quantifiés.*poids ordinaires", refusal(model))


def test_eight_bit_floats_and_infinite_weights_are_refused(model):
    path = model / "model.safetensors"
    tensors = load_file(path)
    name = "model.norm.weight"
    save_file(tensors | {name: tensors[name].to(torch.float8_e4m3fn)}, path, {"format": "pt"})
    assert "est en F8_E4M3 ; on sait lire F32, F16, BF16" in refusal(model)
    tensors[name][2] = torch.inf
    save_file(tensors, path, {"format": "pt"})
    assert "« norm.weight » contient une valeur qui n’est pas un nombre fini" in refusal(model)


def test_the_croissant_settings_are_read():
    """Le config.json de CroissantLLM, tel que transformers 4.36 l’a écrit, aux tailles près."""
    settings = json.loads(json.dumps(reference("llama").config.to_dict()))
    del settings["rope_parameters"]
    old = {"rope_scaling": None, "rope_theta": 10000.0, "torch_dtype": "float32"}
    _, config = read_config(settings | old | {"pretraining_tp": 1, "use_cache": False})
    assert (config.rope_theta, config.rope_scaling) == (10000.0, None)
