"""Encodeurs de phrases : ce que disent leurs fichiers est fait, ou refusé par le nom de l’étape."""

import json

import pytest
import torch
from pretrained_references import CONTEXT, reference, save_reference
from torch.testing import assert_close

from course_lib.pretrained.loading import load_pretrained
from course_lib.pretrained.sentences import sentence_embeddings

SENTENCES = ["le chat dort", "la chatte", "LE chat chasse la chatte sur le tapis" * 3]
PIPELINE = ["Transformer", "Pooling", "Normalize"]
MODES = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens"]


@pytest.fixture
def folder(tmp_path):
    return save_reference(reference("bert-encoder"), "bert", tmp_path / "encodeur")


def write(folder, kinds=PIPELINE, pooling=None, **files):
    """Écrit modules.json, la façon de réunir, et d’autres fichiers."""
    modules = []
    for rank, kind in enumerate(kinds):
        path = f"{rank}_{kind}" if rank else ""
        modules.append({"idx": rank, "path": path, "type": f"sentence_transformers.models.{kind}"})
        (folder / path).mkdir(exist_ok=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {}))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def only(mode):
    """Le 1_Pooling/config.json des modèles publiés."""
    modes = {f"pooling_mode_{one}": one == mode for one in [*MODES, "lasttoken"]}
    return modes | {"word_embedding_dimension": 21}


def expected(how, sentences=SENTENCES, longest=CONTEXT, tokenizer=None):
    """Une phrase à la fois, avec transformers : ni remplissage, ni masque."""
    model, vectors = reference("bert-encoder"), []
    for sentence in sentences:
        ids = tokenizer.encode_sentence(sentence, longest)
        with torch.no_grad():
            hidden = model(torch.tensor([ids])).last_hidden_state[0]
        ranks = torch.arange(1.0, len(ids) + 1)[:, None]
        vectors.append(
            {
                "cls_token": lambda h: h[0],
                "lasttoken": lambda h: h[-1],
                "mean_tokens": lambda h: h.mean(0),
                "max_tokens": lambda h: h.max(0).values,
                "mean_sqrt_len_tokens": lambda h: h.sum(0) / len(h) ** 0.5,
                "weightedmean_tokens": lambda h, r=ranks: (r * h).sum(0) / r.sum(),
            }[how](hidden)
        )
    return torch.stack(vectors)


def close(actual, wanted, unit=True):
    wanted = torch.nn.functional.normalize(wanted, dim=-1) if unit else wanted
    assert_close(actual, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("how", [*MODES, "lasttoken"])
def test_each_way_of_pooling(how, folder):
    ours = load_pretrained(write(folder, pooling=only(how)))
    close(sentence_embeddings(ours, SENTENCES), expected(how, tokenizer=ours.tokenizer))
    short = {"pooling_mode": {"cls_token": "cls", "lasttoken": "lasttoken"}.get(how)}
    if short["pooling_mode"]:  # l’écriture de sentence-transformers 5
        again = load_pretrained(write(folder, pooling=short))
        close(sentence_embeddings(again, SENTENCES), expected(how, tokenizer=ours.tokenizer))


def test_length_case_prompts_and_dot_product(folder):
    files = {
        "sentence_bert_config": {"max_seq_length": 7, "do_lower_case": True},
        "config_sentence_transformers": {
            "prompts": {"query": "le chat ", "document": ""},
            "default_prompt_name": "document",
            "similarity_fn_name": "dot",
        },
    }
    ours = load_pretrained(write(folder, ["Transformer", "Pooling"], only("cls_token"), **files))
    lower = [sentence.lower() for sentence in SENTENCES]
    options = {"longest": 7, "tokenizer": ours.tokenizer}
    close(sentence_embeddings(ours, SENTENCES), expected("cls_token", lower, **options), unit=False)
    asked = ["le chat " + sentence for sentence in lower]
    close(
        sentence_embeddings(ours, SENTENCES, "query"),
        expected("cls_token", asked, **options),
        unit=False,
    )
    with pytest.raises(ValueError, match=r"prompt_name = 'passage' : .* query, document"):
        sentence_embeddings(ours, SENTENCES, "passage")


def test_without_modules_the_folders_speak(folder):
    write(folder, pooling=only("cls_token"))
    (folder / "modules.json").unlink()
    ours = load_pretrained(folder)
    close(sentence_embeddings(ours, SENTENCES), expected("cls_token", tokenizer=ours.tokenizer))


def test_the_old_layout_has_its_model_below(tmp_path):
    root = tmp_path / "ancien"
    save_reference(reference("bert-encoder"), "bert", root / "0_Transformer")
    (root / "1_Pooling").mkdir()
    (root / "1_Pooling" / "config.json").write_text(json.dumps(only("max_tokens")))
    modules = [{"path": "0_Transformer"}, {"path": "1_Pooling"}]
    (root / "modules.json").write_text(json.dumps(modules))
    for place in (root, root / "0_Transformer"):
        ours = load_pretrained(place)
        wanted = expected("max_tokens", tokenizer=ours.tokenizer)
        close(sentence_embeddings(ours, SENTENCES), wanted)


CLS = only("cls_token")
PROMPTS = {"prompts": {"q": "le "}, "default_prompt_name": "q"}


@pytest.mark.parametrize(
    "kinds, pooling, files, message",
    [
        (["Transformer", "Pooling", "Dense"], CLS, {}, "« 2_Dense », de sorte Dense"),
        (["Transformer", "CNN", "Pooling"], CLS, {}, "« 1_CNN », de sorte CNN"),
        (["Transformer"], CLS, {}, "ne sont pas celles d’un encodeur"),
        (PIPELINE, CLS | {"pooling_mode_max_tokens": True}, {}, r"2 façons .*\(cls, max\)"),
        (PIPELINE, {"pooling_mode_mean_tokens": False}, {}, "0 façons"),
        (PIPELINE, {"pooling_mode": "attention"}, {}, "pooling_mode = 'attention'"),
        (PIPELINE, CLS | {"nouveau": 3}, {}, "nouveau = 3 n’est pas pris en charge"),
        (
            PIPELINE,
            CLS | {"include_prompt": False},
            {"config_sentence_transformers": PROMPTS},
            "include_prompt = False",
        ),
        (
            PIPELINE,
            CLS,
            {"config_sentence_transformers": {"similarity_fn_name": "euclidean"}},
            "similarity_fn_name = 'euclidean'",
        ),
        (
            PIPELINE,
            CLS,
            {"sentence_bert_config": {"max_seq_length": "256"}},
            "max_seq_length = '256' ; il faut un entier",
        ),
    ],
)
def test_what_we_cannot_do_is_named(kinds, pooling, files, message, folder):
    ours = load_pretrained(write(folder, kinds, pooling, **files))
    with pytest.raises(ValueError, match=message):
        sentence_embeddings(ours, SENTENCES)


@pytest.mark.parametrize("content", ["{", "[]", '[{"path": "../dehors"}]', '["Pooling"]'])
def test_unreadable_modules_are_refused(content, folder):
    (folder / "modules.json").write_text(content)
    with pytest.raises(ValueError, match=r"modules\.json"):
        load_pretrained(folder)
