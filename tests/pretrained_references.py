"""De petits modèles de `transformers`, aux poids tirés au hasard, enregistrés comme les publiés."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from course_lib.tokenization import BPETokenizer, WordPieceTokenizer

# Des nombres premiers, ou presque : deux dimensions échangées ne passent pas inaperçues.
VOCAB, CONTEXT, LAYERS = 281, 31, 3
FIRST_WORD = 3  # aucun remplissage avant lui : ni celui de BERT (0), ni celui de RoBERTa (1)
TEXTS = ["le chat dort sur le tapis", "la chatte chasse le chat"]
_SIZES = {
    "vocab_size": VOCAB,
    "num_hidden_layers": LAYERS,
    "intermediate_size": 37,
    "max_position_embeddings": CONTEXT,
}
_GROUPED = {"hidden_size": 30, "num_attention_heads": 5, "num_key_value_heads": 1}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def _llama(**changes):
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**(_SIZES | _GROUPED | {"num_key_value_heads": 5} | changes))
    )


def _mistral():
    config = transformers.MistralConfig(**_SIZES, **_GROUPED, head_dim=14, sliding_window=23)
    return transformers.MistralForCausalLM(config)


def _qwen2():
    config = transformers.Qwen2Config(**_SIZES, **_GROUPED, tie_word_embeddings=True)
    return transformers.Qwen2ForCausalLM(config)


def _qwen3():
    # Ni d_model = 29 ni head_dim = 14 ne vont avec 5 têtes : rien ne s’y déduit de d_model.
    sizes = _SIZES | _GROUPED | {"hidden_size": 29, "head_dim": 14}
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**sizes))


def _helium(**changes):
    sizes = _SIZES | _GROUPED | {"head_dim": 6} | changes
    return transformers.HeliumForCausalLM(transformers.HeliumConfig(**sizes))


def _gpt2():
    sizes = {"n_positions": CONTEXT, "n_embd": 21, "n_layer": LAYERS, "n_head": 7, "n_inner": 37}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=VOCAB, **sizes))


def _bert_config():
    return transformers.BertConfig(**_SIZES, hidden_size=21, num_attention_heads=3)


def _roberta_sizes():
    # Deux positions de plus : le remplissage est le jeton 1, le premier mot est à la ligne 2.
    sizes = _SIZES | {"max_position_embeddings": CONTEXT + 2, "type_vocab_size": 1}
    return sizes | {"hidden_size": 21, "num_attention_heads": 3}


def _camembert_config():
    return transformers.CamembertConfig(**_roberta_sizes())


REFERENCES = {
    "llama": _llama,
    "llama3": lambda: _llama(rope_parameters=LLAMA3, tie_word_embeddings=True),
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "helium": _helium,
    "helium-biased": lambda: _helium(attention_bias=True, tie_word_embeddings=True),
    "gpt2": _gpt2,
    "bert": lambda: transformers.BertForMaskedLM(_bert_config()),
    "bert-encoder": lambda: transformers.BertModel(_bert_config()),
    "roberta": lambda: transformers.RobertaForMaskedLM(
        transformers.RobertaConfig(**_roberta_sizes())
    ),
    "camembert": lambda: transformers.CamembertForMaskedLM(_camembert_config()),
    "camembert-encoder": lambda: transformers.CamembertModel(_camembert_config()),
}


def family_of(name: str) -> str:
    """La famille d’une référence : « bert » pour « bert-encoder »."""
    return {"llama3": "llama"}.get(name, name.partition("-")[0])


def reference(name: str, seed: int = 0) -> nn.Module:
    """Un petit modèle de cette sorte, tous les paramètres au hasard, biais et normes compris."""
    model = REFERENCES[name]()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return model.eval()


def tokenizer_for(name: str) -> BPETokenizer | WordPieceTokenizer:
    """Un petit tokeniseur, dont le vocabulaire tient dans celui des modèles."""
    kind = WordPieceTokenizer if name.startswith("bert") else BPETokenizer
    return kind.train(TEXTS, 271)


def save_reference(model: nn.Module, name: str, folder: Path, **options) -> Path:
    """L’enregistre comme un modèle publié ; `options` : celles de `save_pretrained`."""
    model.save_pretrained(folder, **options)
    tokenizer_for(name).save(folder / "tokenizer.json")
    return folder


def rewrite_json(path: Path, **changes) -> None:
    """Change des champs d’un fichier JSON ; None en retire un."""
    content = json.loads(path.read_text("utf-8")) | changes
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")


PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def factorial(n):\n    return",
    "In 1969, 2 astronauts walked on the Moon.",
    "The three laws of thermodynamics state that energy",
    "She said: \u201cI can't come tomorrow\u201d, and left.",
    "1, 1, 2, 3, 5, 8, 13,",
    "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n",
    "SELECT name FROM users WHERE age > 30;",
    "    indented    text\twith\ttabs",
    "Bonjour, comment allez-vous ?",
    "La capitale de la France est",
    "Le cœur a ses raisons que la raison ne connaît point.",
    "Il était une fois une petite fille de village, la plus éveillée qu’on eût su voir.",
    "L’été dernier, nous sommes allés à Saint-Étienne en train.",
    "« Être ou ne pas être, telle est la question. »",
    "Les élèves de 3e ont lu 42 pages, soit 3,5 chapitres.",
    "Maître Corbeau, sur un arbre perché, tenait en son bec un fromage.",
    "Où ça ? Là-bas, près de l’île aux oiseaux…",
    "Une phrase avec un emoji 🙂 et un mot rare : anticonstitutionnellement.",
]


def published(find):
    """Le chemin d’un modèle publié ; le test est sauté, avec la raison, s’il n’est pas là."""
    try:
        return find()
    except FileNotFoundError as error:
        pytest.skip(str(error))
