"""CamemBERT et RoBERTa : positions après le remplissage, tokeniseur, mots cachés, adaptateurs."""

import peft
import pytest
import torch
import transformers
from pretrained_references import FIRST_WORD, TEXTS, VOCAB, reference, save_reference
from torch.testing import assert_close

from course_lib.finetuning import load_adapter
from course_lib.pretrained.loading import load_pretrained
from course_lib.pretrained.saving import save_folder
from course_lib.pretrained.sentences import sentence_embeddings
from course_lib.tokenization.shared import SharedTokenizer
from course_lib.transformer import BertConfig, LlamaConfig, bert, count_parameters, llama

B, T = 3, 11
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
SENTENCES = ["le chat dort", "la chatte chasse le chat sur le tapis", "le tapis", "zzz"]


def random_ids():
    return torch.randint(FIRST_WORD, VOCAB, (B, T), generator=torch.Generator().manual_seed(0))


def close(actual, expected):
    assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def camembert_tokenizer():
    """Un petit CamembertTokenizer, ses jetons spéciaux aux places de camembert-base."""
    words = sorted({word for text in TEXTS for word in text.split()})
    letters = sorted(set("".join(TEXTS)) - {" "})
    pieces = [("▁" + word, -3.0 - i / 7) for i, word in enumerate(words)]
    pieces += [("▁", -8.0), *((letter, -9.0 - i / 11) for i, letter in enumerate(letters))]
    special = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
    vocab = [*((one, 0.0) for one in special), *pieces, ("<mask>", 0.0)]
    return transformers.CamembertTokenizer(vocab=vocab)


@pytest.fixture
def folder(tmp_path):
    """Un CamemBERT et son tokeniseur, enregistrés par transformers."""
    reference("camembert").save_pretrained(tmp_path)
    camembert_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_the_tokenizer_of_camembert(folder):
    ours, theirs = load_pretrained(folder).tokenizer, camembert_tokenizer()
    assert isinstance(ours, SharedTokenizer)
    for text in [*SENTENCES, "  le   chat ", "le <mask> dort", ""]:
        assert ours.encode_sentence(text) == theirs(text)["input_ids"]
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.decode(ours.encode(text)) == theirs.decode(ours.encode(text))
    assert ours.encode_sentence("le chat")[0] == ours.token_to_id["<s>"] == 5
    roles = (ours.pad_id, ours.unk_id, ours.eos_id)
    assert roles == (theirs.pad_token_id, theirs.unk_token_id, theirs.eos_token_id)


def test_a_hidden_word_is_guessed_as_transformers_does(folder):
    """Le remplissage à droite ne change ni les positions ni les scores des vrais jetons."""
    ours, tokenizer = load_pretrained(folder), camembert_tokenizer()
    model = reference("camembert")
    batch = tokenizer(["le <mask> dort", SENTENCES[1]], padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"].bool()
    assert not mask.all() and ours.config.pad_id == 1
    with torch.no_grad():
        expected = model(ids, attention_mask=mask.long()).logits
        close(ours.model(ids)[mask], expected[mask])
        alone = ours.model(ids[:1, : mask[0].sum()])
        close(alone[0], expected[0, mask[0]])
    place = ids[0].tolist().index(ours.tokenizer.token_to_id["<mask>"])
    assert alone[0, place].argmax() == expected[0, place].argmax()


@pytest.mark.parametrize("name", ["roberta", "camembert-encoder"])
def test_padding_on_the_left_is_not_a_position(name, tmp_path):
    ours = load_pretrained(save_reference(reference(name), name, tmp_path)).model
    ids = random_ids()
    ids[0, :4] = 1
    whole = ours.hidden(ids)
    close(whole[0, 4:], ours.hidden(ids[:1, 4:])[0])
    theirs = getattr(reference(name), "roberta", reference(name))
    with torch.no_grad():
        expected = theirs(ids, attention_mask=(ids != 1).long()).last_hidden_state
    close(whole[ids != 1], expected[ids != 1])


def test_the_whole_context_is_read_and_no_more(tmp_path):
    ours = load_pretrained(save_reference(reference("roberta"), "roberta", tmp_path)).model
    ids = random_ids()[:, :1].expand(B, 31)
    with torch.no_grad():
        close(ours(ids), reference("roberta")(ids).logits)
    with pytest.raises(ValueError, match="32 positions et le contexte en a 31"):
        ours(ids[:, :1].expand(B, 32))
    assert count_parameters(ours) == reference("roberta").num_parameters()


def test_sentences_of_camembert(folder):
    ours, tokenizer = load_pretrained(folder), camembert_tokenizer()
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    mask = batch["attention_mask"][..., None]
    with torch.no_grad():
        hidden = reference("camembert").roberta(**batch).last_hidden_state
    mean = (hidden * mask).sum(1) / mask.sum(1)
    close(sentence_embeddings(ours, SENTENCES), torch.nn.functional.normalize(mean, dim=-1))


def test_an_encoder_is_not_written(folder, tmp_path):
    ours = load_pretrained(folder)
    before = sorted(folder.iterdir())
    with pytest.raises(ValueError, match=r"Encoder n’est ni de type Llama .* ni de type GPT-2"):
        save_folder(ours.model, ours.tokenizer, tmp_path / "copie")
    assert sorted(folder.iterdir()) == before


def test_positions_after_the_padding_need_a_padding():
    with pytest.raises(ValueError, match=r"pad_id = None .*Donnez pad_id"):
        BertConfig(pad_id=None, positions_after_pad=True)
    model = bert(BertConfig(17, 5, 6, 1, 2, d_ff=7, pad_id=3, positions_after_pad=True))
    assert model.embedding.positions.table.weight.shape == (9, 6)


# ------------------------------------------------------------------ adaptateurs


def adapted(model, folder, targets):
    """Les sorties du modèle avec un adaptateur de peft, enregistré dans le dossier."""
    config = peft.LoraConfig(r=3, lora_alpha=7, target_modules=targets)
    theirs = peft.get_peft_model(model, config).eval()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
        theirs.save_pretrained(folder)
        output = theirs(random_ids())
    return getattr(output, "logits", output[0])


@pytest.mark.parametrize(
    "name, targets",
    [
        ("camembert", ["query", "value"]),
        ("roberta", ["key", "intermediate.dense"]),
        ("camembert-encoder", ["value"]),
        ("helium", ["v_proj", "o_proj", "down_proj"]),
    ],
)
def test_an_adapter_made_with_transformers(name, targets, tmp_path):
    model = reference(name)
    ours = load_pretrained(save_reference(model, name, tmp_path / "base")).model
    expected = adapted(model, tmp_path / "a", targets)
    bare = ours(random_ids())
    load_adapter(ours, tmp_path / "a")
    close(ours(random_ids()), expected)
    assert (ours(random_ids()) - bare).abs().max() > 0.01


def test_an_adapter_of_the_paired_rows_of_helium_is_refused(tmp_path):
    model = reference("helium")
    ours = load_pretrained(save_reference(model, "helium", tmp_path / "base"))
    adapted(model, tmp_path / "a", ["k_proj"])
    before = ours.model(random_ids())
    with pytest.raises(ValueError, match=r"k_proj » : .*paires voisines.*save_folder"):
        load_adapter(ours.model, tmp_path / "a")
    assert torch.equal(ours.model(random_ids()), before)
    # Le remède : le dossier écrit range les lignes comme Llama, et l’adaptateur aussi.
    save_folder(ours.model, ours.tokenizer, tmp_path / "llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "llama").eval()
    expected = adapted(model, tmp_path / "b", ["q_proj", "k_proj"])
    again = load_pretrained(tmp_path / "llama").model
    load_adapter(again, tmp_path / "b")
    close(again(random_ids()), expected)


def test_head_norms_learn():
    """Le gradient des normes de tête est celui de transformers."""
    model = llama(LlamaConfig(53, 31, 30, 2, 5, n_kv_heads=1, d_ff=37, qk_norm=True))
    config = transformers.Qwen3Config(
        vocab_size=53, hidden_size=30, num_hidden_layers=2, num_attention_heads=5,
        num_key_value_heads=1, head_dim=6, intermediate_size=37, rms_norm_eps=1e-5,
        tie_word_embeddings=True, max_position_embeddings=31,
    )  # fmt: skip
    theirs = transformers.Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        for block, layer in zip(model.blocks, theirs.model.layers, strict=True):
            for ours, other in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")):
                weight = getattr(block.self_attention, ours).weight
                weight.copy_(getattr(layer.self_attn, f"{other}_proj").weight)
            for part in ("gate", "up", "down"):
                weight = getattr(block.feed_forward, part).weight
                weight.copy_(getattr(layer.mlp, f"{part}_proj").weight)
        model.embedding.tokens.weight.copy_(theirs.model.embed_tokens.weight)
    ids = random_ids() % 53
    for one in (model(ids), theirs(ids).logits):
        one.square().mean().backward()
    for block, layer in zip(model.blocks, theirs.model.layers, strict=True):
        for ours, other in (("query_norm", "q_norm"), ("key_norm", "k_norm")):
            gradient = getattr(block.self_attention, ours).weight.grad
            expected = getattr(layer.self_attn, other).weight.grad
            assert expected.abs().max() > 0
            assert_close(gradient, expected, atol=0, rtol=1e-3)
