"""`python -m course_lib …` : d’un texte à un modèle que d’autres relisent, et les refus."""

import io
import json
import math
import random
import re
import signal
import subprocess
import sys

import pytest
import torch
import transformers

from course_lib import __main__ as entry
from course_lib.commands import chat, evaluate, export, opening, write
from course_lib.commands.train import main as train
from course_lib.evaluation.sliding import sliding_nats, sliding_windows, text_bits
from course_lib.generation import TextGenerator
from course_lib.pretrained import load_pretrained, save_folder
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import BertConfig, LlamaConfig, bert, llama

# fmt: off
SHORT = [
    "--d-model", "12", "--n-heads", "3", "--d-ff", "20", "--n-layers", "2", "--batch-size", "4",
    "--context-length", "16", "--tokens", "4096", "--learning-rate", "0,02", "--sample-length", "9",
]
# fmt: on

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    draw = random.Random(4)
    words = ["le", "chat", "dort", "été", "où", "la", "pluie", "chante", "doucement"]
    path = tmp_path_factory.mktemp("texte") / "mon texte.txt"
    lines = (" ".join(draw.choices(words, k=6)) + "." for _ in range(200))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """Un modèle entraîné par découpage : {« char » : dossier, « bpe » : dossier}."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for kind, more in (("char", []), ("bpe", ["--vocab-size", "280"])):
        found[kind] = folder / kind
        arguments = ["--corpus", str(corpus), "--output", str(found[kind]), *SHORT]
        assert train([*arguments, "--tokenizer", kind, *more]) == 0
    return found


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    """Le dossier d’un tout petit modèle qui a un gabarit."""
    tokenizer = BPETokenizer.train(["le chat dort. user assistant system"] * 3, vocab_size=290)
    model = llama(LlamaConfig(tokenizer.vocab_size, 64, 12, 1, 2, d_ff=16), seed=2)
    folder = tmp_path_factory.mktemp("parleur") / "modele"
    save_folder(model, tokenizer, folder, chat_template=TEMPLATE)
    return folder


def close(theirs, ours):
    """Égaux à 1e-5 près du plus grand des scores : en F32, l’arrondi croît avec eux."""
    assert (theirs - ours).abs().max() < 1e-5 * ours.abs().max()


@pytest.fixture
def said(capsys):
    """(sortie, erreurs) depuis la dernière fois, espaces insécables rendues simples."""
    plain = {0xA0: " ", 0x202F: " "}
    return lambda: tuple(text.translate(plain) for text in capsys.readouterr())


def typed(monkeypatch, text):
    """Ce que l’utilisateur tape."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_what_training_writes_is_read_by_transformers(runs, corpus, kind):
    ours = load_pretrained(runs[kind])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(runs[kind], dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(runs[kind])
    text = corpus.read_text("utf-8")[:200]
    assert tokenizer(text)["input_ids"] == ours.tokenizer.encode(text)
    ids = torch.tensor([ours.tokenizer.encode("le chat dort")[:16]])
    with torch.no_grad():
        close(theirs.eval()(ids).logits, ours.model(ids))
    assert json.loads((runs[kind] / "config.json").read_text())["torch_dtype"] == "float32"
    assert (runs[kind] / "history.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_the_whole_way(runs, corpus, kind, tmp_path, said):
    """Écrire, mesurer, exporter, relire ailleurs : chaque commande nomme la suivante."""
    model = str(runs[kind])
    assert write.main([model, "--start", "le chat", "--max-tokens", "40", "--n", "2"]) == 0
    out, err = said()
    first, second = out.rstrip("\n").split("\nle chat")[:2]
    assert first.startswith("le chat") and first != f"le chat{second}"
    assert "— Texte 2 sur 2 —" in err and f"course_lib evaluate {model}" in err
    assert evaluate.main([model, str(corpus)]) == 0
    assert f"course_lib write {model}" in said()[0]
    assert export.main([model, str(tmp_path / "sorti"), "--precision", "float16"]) == 0
    assert "from_pretrained" in said()[0]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "sorti")
    assert theirs.dtype == torch.float16
    code = export.main([model, str(tmp_path / "sorti.gguf")])
    out, err = said()
    if kind == "char":
        assert code == 2 and "une SORTIE sans .gguf" in err and "save_folder" not in err
    else:
        assert code == 0 and "llama-cli -m" in out
        assert write.main([str(tmp_path / "sorti.gguf"), "--start", "le", "--max-tokens", "3"]) == 0


@pytest.mark.slow
def test_training_warns_at_once_of_a_tokenizer_without_gguf(corpus, tmp_path, said, runs):
    arguments = ["--corpus", str(corpus), *SHORT, "--tokens", "64"]
    for more, warned in (([], True), (["--tokenizer", "bpe", "--vocab-size", "270"], False)):
        assert train([*arguments, *more, "--output", str(tmp_path / str(warned))]) == 0
        out = said()[0]
        assert ("ne s’écrit pas en GGUF" in out.split("pas 1,")[0]) == warned
        assert "course_lib write" in out.splitlines()[-1]


@pytest.mark.slow
def test_a_finished_model_goes_on_learning(runs, corpus, tmp_path, said, monkeypatch):
    before = load_pretrained(runs["bpe"])
    arguments = ["--corpus", str(corpus), "--from", str(runs["bpe"]), "--tokens", "4096"]
    arguments += ["--batch-size", "4", "--sample-length", "5"]
    assert train([*arguments, "--output", str(tmp_path / "entier")]) == 0
    out = said()[0]
    assert "continué par fenêtres de 16 jetons" in out
    after = load_pretrained(tmp_path / "entier")
    assert after.config == before.config
    assert after.tokenizer.to_json() == before.tokenizer.to_json()
    losses = [
        json.loads((f / "training.json").read_text()) for f in (runs["bpe"], tmp_path / "entier")
    ]
    assert losses[1]["validation_loss"] < losses[0]["validation_loss"] + 0.05
    first = json.loads((tmp_path / "entier" / "history.json").read_text())["records"][0]["loss"]
    assert first < math.log(280) - 1  # il n’est pas reparti de zéro
    interrupted = _interrupting(monkeypatch, at=16)
    assert train([*arguments, "--output", str(tmp_path / "coupé")]) == 130
    interrupted.undo()
    assert train([*arguments, "--output", str(tmp_path / "coupé")]) == 0
    weights = [tmp_path / name / "model.safetensors" for name in ("entier", "coupé")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def _interrupting(monkeypatch, at):
    from course_lib.commands import report

    printer = report.print_record

    def interrupt(record):
        printer(record)
        if record.step >= at:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(report, "print_record", interrupt)
    return monkeypatch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--n-layers", "2"], "--n-layers 2 ne va pas avec --from : .* sa forme"),
        (["--tokenizer", "bpe"], "--tokenizer bpe ne va pas avec --from : .* son découpage"),
        (["--vocab-size", "300"], "--vocab-size 300 ne va pas"),
        (["--dropout", "0,1"], "--dropout 0,1 ne va pas"),
        (["--context-length", "300"], "« petit_llm » lit 256 jetons au plus"),
    ],
)
def test_what_a_started_model_has_already_decided(corpus, more, message, tmp_path, said):
    arguments = ["--corpus", str(corpus), "--from", "petit_llm", "--output", str(tmp_path / "x")]
    assert train([*arguments, *more]) == 2
    assert re.search(message, said()[1])
    assert not (tmp_path / "x").exists()


def test_the_model_may_be_absent_or_of_another_kind(tmp_path, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write.main(["mon_modele"]) == 2
    error = said()[1]
    assert "Aucun modèle « mon_modele »" in error and "petit_llm, assistant" in error
    (tmp_path / "inachevé" / "checkpoints").mkdir(parents=True)
    (tmp_path / "inachevé" / "run.json").write_text("{}")
    assert evaluate.main(["inachevé", __file__]) == 2
    assert "entraînement inachevé. Relancez la commande" in said()[1]
    encoder = bert(BertConfig(40, 16, 12, 1, 2))
    monkeypatch.setattr(
        opening, "load_pretrained", lambda *_: type("P", (), {"model": encoder, "family": "bert"})
    )
    assert write.main(["petit_llm"]) == 2
    assert "est un encodeur (bert) : il lit et n’écrit pas" in said()[1]


def test_the_device_follows_or_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert opening.chosen_device("auto") == torch.device("cpu")
    for name in ("cuda", "mps"):
        with pytest.raises(ValueError, match=f"--device {name}.*PyTorch ne trouve pas"):
            opening.chosen_device(name)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert opening.chosen_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert opening.chosen_device("auto") == torch.device("cuda")
    monkeypatch.setattr(opening, "chosen_device", lambda name: torch.device("meta"))
    model = opening.open_model("petit_llm", "cuda").model
    assert {t.device.type for t in (*model.parameters(), *model.buffers())} == {"meta"}


@pytest.mark.slow
def test_a_folder_of_an_older_version_is_refused_with_the_remedy(runs, tmp_path, said):
    old = {"architecture": "llama", "tokenizer": "char", "vocab_size": 30, "context_length": 16,
           "d_model": 12, "n_layers": 2, "validation_loss": 2.0}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(old))
    (tmp_path / "model.safetensors").write_bytes((runs["char"] / "model.safetensors").read_bytes())
    assert write.main([str(tmp_path)]) == 2
    error = said()[1]
    assert "version ancienne du cours" in error and "relancez la commande qui l’a fait" in error


# ------------------------------------------------------------------ écrire


@pytest.mark.slow
def test_the_window_slides_and_a_long_start_is_cut(said):
    start = "Il était une fois un chat. " * 60
    assert write.main(["--start", start, "--max-tokens", "300", "--temperature", "0"]) == 0
    out, err = said()
    assert "Le début compte" in err and f"caractères sur {len(start)}" in err
    assert start.rstrip() not in out


def test_writing_is_the_same_with_the_same_seed(said):
    texts = []
    for seed in ("3", "3", "4"):
        assert write.main(["--seed", seed, "--max-tokens", "20", "--top-p", "0,9"]) == 0
        texts.append(said()[0])
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.slow
def test_a_model_that_learned_no_start_begins_with_a_line(runs, said):
    assert write.main([str(runs["char"]), "--max-tokens", "12"]) == 0
    assert len(said()[0].rstrip("\n")) >= 10


def test_interactive_writing(monkeypatch, said):
    typed(monkeypatch, "Un jour,\n\nLe chat\n/quitter\nperdu\n")
    assert write.main(["--interactive", "--max-tokens", "4"]) == 0
    out = said()[0]
    assert out.startswith("Un jour,") and "\nLe chat" in out and "perdu" not in out
    with pytest.raises(SystemExit):
        write.main(["--interactive", "--start", "a"])
    assert "--start ne va pas avec --interactive" in said()[1]


def interrupted_stream(*arguments, **settings):
    yield " et"
    raise KeyboardInterrupt


def test_ctrl_c_stops_the_text_or_the_command(monkeypatch, said):
    monkeypatch.setattr(TextGenerator, "stream", interrupted_stream)
    assert write.main(["--start", "Un"]) == 130
    out, err = said()
    assert out == "Un et" and "Interrompu." in err and "Traceback" not in err
    typed(monkeypatch, "Un\nDeux\n")  # dans une séance, il n’arrête que le texte
    assert write.main(["--interactive"]) == 0
    assert said()[0] == "Un etDeux et"


# ------------------------------------------------------------------ converser


def test_a_conversation_keeps_its_history(talker, monkeypatch, said):
    prompts = []

    def answer(self, text, *arguments, **settings):
        prompts.append(text)
        yield " oui"

    monkeypatch.setattr(TextGenerator, "stream", answer)
    typed(monkeypatch, "le chat\n\nil dort\n/effacer\nencore\n")
    assert chat.main([str(talker), "--max-tokens", "4", "--system", "sage"]) == 0
    first = "system: sage\nuser: le chat\nassistant:"
    assert prompts[0] == first
    assert prompts[1] == f"{first}  oui\nuser: il dort\nassistant:"
    assert prompts[2] == "system: sage\nuser: encore\nassistant:"
    assert "course_lib write" in said()[1]


def test_old_exchanges_leave_the_context(talker, monkeypatch, said):
    typed(monkeypatch, "le chat dort le chat dort\n" * 6 + "le chat " * 90 + "\n")
    assert chat.main([str(talker), "--max-tokens", "8"]) == 0
    err = said()[1]
    assert "le plus ancien échange sort du contexte" in err
    assert "raccourcissez la question, ou réduisez --max-tokens" in err


def test_ctrl_c_stops_the_answer_or_leaves(talker, monkeypatch, said):
    monkeypatch.setattr(TextGenerator, "stream", interrupted_stream)
    typed(monkeypatch, "le chat\n")
    assert chat.main([str(talker)]) == 0
    assert "raccourcissez la question" in said()[1]  # 400 jetons de réponse n’y tiennent pas
    typed(monkeypatch, "le chat\n")
    assert chat.main([str(talker), "--max-tokens", "4"]) == 0
    assert "(réponse interrompue)" in said()[1]


def test_a_model_without_template_does_not_chat(said):
    assert chat.main(["petit_llm"]) == 2
    error = said()[1]
    assert "n’a pas de gabarit" in error and "course_lib write petit_llm" in error
    assert "course_lib chat smollm2" in error


# ------------------------------------------------------------------ mesurer


@pytest.mark.parametrize("n_targets", [1, 2, 7, 8, 9, 30, 101])
@pytest.mark.parametrize("context", [1, 2, 8, 11])
def test_each_target_is_counted_once_with_half_a_context(n_targets, context):
    seen = []
    for start, first in sliding_windows(n_targets, context):
        assert start >= 0 and start + min(context, n_targets) <= n_targets
        seen += range(start + first, start + min(context, n_targets))
        assert start == 0 or first >= context - context // 2 - (context == 1)
    assert seen == list(range(n_targets))


def test_sliding_agrees_with_one_reading_and_with_a_loop():
    model = llama(LlamaConfig(23, 8, 12, 2, 2, d_ff=16), seed=1).eval()
    with torch.no_grad():
        model.embedding.tokens.weight.mul_(20)
    ids = torch.randint(23, (38,), generator=torch.Generator().manual_seed(0)).tolist()

    def cost(window, n_counted):
        with torch.no_grad():
            laws = model(torch.tensor([window[:-1]]))[0].log_softmax(-1)
        costs = [-laws[i, token].item() for i, token in enumerate(window[1:])]
        return sum(costs[-n_counted:])

    assert sliding_nats(model, ids[:9]) == pytest.approx(cost(ids[:9], 8), rel=1e-5)
    expected, done = cost(ids[:9], 8), 8
    while done < 37:
        n = min(4, 37 - done)
        expected += cost(ids[done + n - 8 : done + n + 1], n)
        done += n
    assert sliding_nats(model, ids) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="context_length = 9 : ce modèle lit de 1 à 8"):
        sliding_nats(model, ids, 9)
    bare = text_bits(model, ids)  # sans début, le premier jeton coûte un choix parmi tous
    assert bare == pytest.approx((expected + math.log(23)) / math.log(2), rel=1e-5)
    started = text_bits(model, ids[1:], [ids[0]])
    assert started == pytest.approx(expected / math.log(2), rel=1e-5)


@pytest.mark.slow
def test_bits_per_byte_are_those_of_the_whole_text(runs, tmp_path, said):
    (tmp_path / "é.txt").write_text("été où la pluie chante.\n", encoding="latin-1")
    (tmp_path / "b.txt").write_text("le chat dort ¤\n", encoding="utf-8")
    files = [str(tmp_path / "é.txt"), str(tmp_path / "b.txt")]
    assert evaluate.main([str(runs["bpe"]), *files, "--encoding", "latin-1"]) == 0
    assert "Ensemble :" in said()[0]
    assert evaluate.main([str(runs["bpe"]), files[0], "--encoding", "latin-1"]) == 0
    printed = said()[0].replace(",", ".")
    loaded = load_pretrained(runs["bpe"])
    ids = loaded.tokenizer.encode("été où la pluie chante.\n")
    expected = text_bits(loaded.model, ids) / len("été où la pluie chante.\n".encode())
    assert f"{expected:.4f} bits par octet" in printed
    assert evaluate.main([str(runs["char"]), files[1]]) == 0
    assert "hors du vocabulaire" in said()[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["petit_llm", "absent.txt"], "Fichier introuvable : « absent.txt »"),
        (["petit_llm", __file__, "--context-length", "300"], "lit 256 jetons à la fois, au plus"),
    ],
)
def test_a_text_that_cannot_be_measured(arguments, message, said):
    assert evaluate.main(arguments) == 2
    assert message in said()[1]


# ------------------------------------------------------------------ exporter, et la porte d’entrée


def test_export_refuses_with_its_own_words(tmp_path, said):
    (tmp_path / "à moi").mkdir()
    (tmp_path / "à moi" / "notes.txt").write_text("notes")
    assert export.main(["petit_llm", str(tmp_path / "à moi")]) == 2
    assert "ou --overwrite pour le remplacer" in said()[1]
    assert export.main(["petit_llm", str(tmp_path / "à moi"), "--overwrite"]) == 0
    assert export.main(["petit_llm", str(tmp_path / "m.gguf"), "--precision", "bfloat16"]) == 2
    assert "n’existe pas dans un GGUF : choisissez float32, float16, q8_0" in said()[1]
    assert export.main(["petit_llm", str(tmp_path / "m"), "--precision", "q8_0"]) == 2
    assert "n’existe pas dans un dossier" in said()[1]


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_each_command_has_its_help_in_french(name, said):
    with pytest.raises(SystemExit) as stop:
        entry.main([name, "--help"])
    shown = said()[0]
    assert stop.value.code == 0 and shown.startswith(f"usage : python -m course_lib {name}")
    for english in ("usage:", "options:", "show this", "default:", "arguments:"):
        assert english not in shown


@pytest.mark.slow
@pytest.mark.parametrize("module", ["course_lib", "course_lib.training"])  # l’ancien nom répond
def test_the_commands_answer_from_a_shell(module):
    arguments = ["train", "--help"] if module == "course_lib" else ["--help"]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage\u00a0: python -m course_lib train")


def test_the_entrance_names_its_commands(said):
    assert entry.main([]) == 2
    assert "evaluate" in said()[1]
    assert entry.main(["--help"]) == 0
    assert "entraîner un modèle" in said()[0]
    assert entry.main(["writ"]) == 2
    error = said()[1]
    assert "commande inconnue : « writ »" in error and "Vouliez-vous dire « write »" in error
