"""Les mesures du romancier : ce qu’elles comptent, sur de petits exemples faits à la main."""

import csv
import math
import re
import tarfile
from types import SimpleNamespace

import pytest
import torch

from course_experiments.romancier import (
    by_heart,
    context,
    degeneration,
    invention,
    long_text,
    own_data,
    passages,
    prejudice,
    pronouns,
    repeats,
    trades,
)
from course_experiments.romancier.novels import CLEAN, read_novels
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, llama

TEXT = "Un cuisinier entra.\nUne cuisinière sortit, un Berger passa ; une Bergerie brûla.\n" * 40


@pytest.fixture
def novels(tmp_path):
    """Un dossier de trois romans."""
    rows = [("FRA1", "training"), ("FRA2", CLEAN), ("FRA3", CLEAN)]
    with (tmp_path / "novels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["repository", "file", "author", "title", "first_edition", "role"])
        table.writerows(["r", f"level1/{name}.xml", "A", "T", "1860", role] for name, role in rows)
    (tmp_path / "novels").mkdir()
    for name, _ in rows:
        (tmp_path / "novels" / f"{name}.txt").write_text(TEXT, "utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def toy():
    """Un petit modèle et son découpage."""
    tokenizer = BPETokenizer.train([TEXT], 300)
    shape = LlamaConfig(
        vocab_size=300, context_length=128, d_model=32, n_layers=1, n_heads=4, d_ff=37
    )
    return llama(shape, 0).eval(), tokenizer


def test_novels_are_read_by_role_from_a_folder_or_an_archive(novels):
    loose = list(read_novels(novels, CLEAN))
    assert [novel.name for novel in loose] == ["FRA2", "FRA3"] and loose[0].text == TEXT
    with tarfile.open(novels / "novels.tar.bz2", "w:bz2") as tar:
        tar.add(novels / "novels", "novels")
    for path in (novels / "novels").iterdir():
        path.unlink()
    (novels / "novels").rmdir()
    assert list(read_novels(novels, CLEAN)) == loose
    assert len(list(read_novels(novels))) == 3


def test_a_missing_novel_or_list_is_told(novels):
    (novels / "novels" / "FRA3.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 roman\(s\) .* dont « FRA3.txt »"):
        list(read_novels(novels))
    with pytest.raises(FileNotFoundError, match=r"novels.csv » n’existe pas"):
        list(read_novels(novels / "novels"))


@pytest.mark.parametrize(
    ("ids", "length"),
    [
        (list(range(40)), 0),
        ([*range(30), *[7, 8, 9] * 10], 27),
        ([*range(30), *[7] * 24], 23),
        ([*range(30), *[7, 8, 9] * 5], 0),  # trop courte pour compter
        ([*[7, 8, 9] * 10, 1], 0),  # rompue avant la fin
        ([*range(13)] * 3, 26),
    ],
)
def test_a_loop_is_what_repeats_to_the_end(ids, length):
    assert degeneration.loop_length(ids, 20) == length


def test_repeats_are_counted_in_groups_of_four():
    assert degeneration.repeated_4grams(range(9)) == 0
    assert degeneration.repeated_4grams([1, 2, 3, 4] * 2) == pytest.approx(1 / 5)
    assert degeneration.repeated_4grams([7] * 13) == pytest.approx(9 / 10)


def test_beginnings_start_a_paragraph_and_are_followed_by_the_novel(novels, toy):
    protocol = degeneration.Protocol(n_beginnings=7, prompt_tokens=5, new_tokens=11)
    pairs = degeneration.beginnings(novels, toy[1], protocol)
    assert [(len(prompt), len(true)) for prompt, true in pairs] == [(5, 11)] * 7
    for prompt, true in pairs:
        whole = toy[1].decode([*prompt, *true])
        assert whole.startswith("\n") and whole.rstrip("�") in TEXT
    long = degeneration.Protocol(n_beginnings=2, new_tokens=10_000)
    with pytest.raises(ValueError, match="trop court pour 1 débuts de 10048 jetons"):
        degeneration.beginnings(novels, toy[1], long)


def test_surprise_is_that_of_the_whole_text(toy):
    model, _ = toy
    prompt, ids = [5, 9, 11], [17, 2, 29, 31, 5]
    with torch.no_grad():
        log_probs = model(torch.tensor([[*prompt, *ids]]))[0].log_softmax(-1)
    expected = -sum(float(log_probs[2 + k, token]) for k, token in enumerate(ids)) / len(ids)
    assert degeneration.nats_per_token(model, prompt, ids) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["gloutonne", "T = 1", degeneration.BEAM])
def test_every_strategy_writes_and_is_measured(novels, toy, name):
    model, tokenizer = toy
    protocol = degeneration.Protocol(
        n_beginnings=6, prompt_tokens=5, new_tokens=13, batch_size=4, n_beams=2
    )
    prompts = [prompt for prompt, _ in degeneration.beginnings(novels, tokenizer, protocol)]
    written = degeneration.continuations(model, prompts, name, 1, protocol)
    assert [len(ids) for ids in written] == [13] * (2 if name == degeneration.BEAM else 6)
    known = degeneration.read_words(novels)
    found = degeneration.measures(model, tokenizer, prompts, written, protocol, known)
    assert found["texts"] == len(written) and 0 < found["distinct_words"] <= 1
    assert 0 <= found["repeated_4grams"] < 1 and found["nats_per_token"] > 0
    assert 0 <= found["unread_words"] <= 1


def test_invented_words_are_those_of_no_novel(novels):
    known = degeneration.read_words(novels)
    assert {"cuisinier", "brûla", "un"} <= known and not {"Berger", "Un"} & known
    text = "ccuis un cuisinier zarbla, Xavier sortit. Une bergerie br"  # bords coupés, nom propre
    assert degeneration.common_words(text)[1:-1] == [
        "un",
        "cuisinier",
        "zarbla",
        "sortit",
        "bergerie",
    ]
    assert degeneration.unread_share([text], known) == pytest.approx(2 / 5)
    assert degeneration.unread_share(["Non"], known) == 0


def test_names_of_the_start_are_counted_by_slice(toy):
    slices = ["alors Jean vit Marie, et Monsieur de Paris", "puis Jean, Jean et Luc", "rien"]
    assert long_text.proper_names(slices[0]) == ["Jean", "Marie", "Paris"]
    assert long_text.names_of_the_start(slices) == [(2, 3), (0, 0)]
    _, tokenizer = toy
    protocol = long_text.Protocol(new_tokens=12, slice_tokens=4)
    rows = [[7] * 12, list(range(40, 52))]
    found = long_text.measures(tokenizer, rows, protocol)
    assert found["texts"] == 2 and len(found["names"]) == 2
    assert found["repeated_4grams"] == [0.0, 0.0, 0.0]


def test_long_texts_are_written_and_measured(novels, toy, monkeypatch):
    model, tokenizer = toy
    monkeypatch.setattr(
        long_text, "load_pretrained", lambda _: SimpleNamespace(model=model, tokenizer=tokenizer)
    )
    protocol = long_text.Protocol(n_beginnings=2, prompt_tokens=5, new_tokens=150, slice_tokens=50)
    written = long_text.measure(long_text.WRITTEN, 0, protocol, novels)  # au-delà du contexte
    true = long_text.measure(long_text.NOVELS, 0, protocol, novels)
    assert len(written["repeated_4grams"]) == 3 and written["first"] and "first" not in true
    assert "first" not in long_text.measure(long_text.WRITTEN, 1, protocol, novels)


def test_a_trade_is_counted_whole_whatever_its_capital():
    counts = trades.count_forms([TEXT])
    assert counts["un cuisinier"] == counts["une cuisinière"] == counts["un berger"] == 40
    assert counts["une bergère"] == 0


def test_the_probability_of_a_form_is_that_of_its_tokens(toy):
    model, tokenizer = toy
    start, forms = "Un cuisinier", ("entra.", "sortit,")
    for temperature in (1.0, 0.5):
        found = trades.form_scores(model, tokenizer, start, forms, temperature)
        for form, score in zip(forms, found, strict=True):
            prefix, ids = (tokenizer.encode(f"\n{text}") for text in (start, f"{start} {form}"))
            assert ids[: len(prefix)] == prefix
            with torch.no_grad():
                logits = model(torch.tensor([ids]))[0] / temperature
            expected = sum(
                float(logits[k - 1].log_softmax(-1)[ids[k]]) for k in range(len(prefix), len(ids))
            )
            assert float(score) == pytest.approx(expected, abs=1e-4)


def test_the_same_method_reads_its_own_data_better(novels):
    """Deux 6-grammes que rien ne distingue, sinon ce qu’ils ont lu."""
    protocol = own_data.Protocol(ngram_bytes=4000)
    cook = own_data.ngram_bits(TEXT, protocol)
    english = own_data.ngram_bits("The train was late and we sat on the platform. " * 60, protocol)
    assert cook("Une cuisinière entra.") < english("Une cuisinière entra.")
    assert english("The train was late.") < cook("The train was late.")


def test_texts_to_read_are_those_announced(novels, tmp_path):
    plays = tmp_path / "pièces.txt"
    plays.write_text("SGANARELLE\nQu'est-ce que c'est que cela ?\n" * 400, "utf-8")
    protocol = own_data.Protocol(excerpt=1000)
    found = own_data.readings(novels, plays, protocol)
    assert list(found) == [own_data.NOVEL, own_data.MOLIERE, *own_data.SHORT_TEXTS]
    assert [len(text) for text in found[own_data.NOVEL]] == [1000, 1000]
    assert sum(map(len, found[own_data.MOLIERE])) == 1000
    assert all(len(texts) == 3 for texts in own_data.SHORT_TEXTS.values())


def test_copies_of_a_paragraph_are_counted_across_novels():
    long, other = "Un long paragraphe, assez long.", "Un autre long paragraphe, ma foi."
    counts = by_heart.paragraph_copies(
        [f"{long}\ncourt\n{other}", f"{long.replace(' ', '  ')}"], 20
    )
    assert counts == {long: 2, other: 1}


def test_passages_have_the_copies_asked_for(novels, toy):
    protocol = by_heart.Protocol(n_passages=5, given=3, expected=2)
    once = "Ce paragraphe-ci ne paraît vraiment qu'une fois dans tout le corpus, une seule."
    (novels / "novels" / "FRA1.txt").write_text(TEXT + once, "utf-8")
    assert by_heart.passages(novels, "1 copie", protocol) == [once]
    many = by_heart.passages(novels, "3 copies ou plus", protocol)
    assert many == [TEXT.split("\n")[1]] and by_heart.passages(novels, "2 copies", protocol) == []


def test_what_is_recited_is_what_greedy_would_write(toy):
    """Récité : chaque jeton attendu est le premier choix, les précédents étant donnés."""
    model, tokenizer = toy
    loaded = _loaded(toy)
    protocol = by_heart.Protocol(given=4, expected=3, batch_size=2)
    texts = ["Un cuisinier entra, une cuisinière sortit."] * 3
    found = by_heart.measure_passages(loaded, texts, protocol)
    ids = torch.tensor([tokenizer.encode("\n" + texts[0])[:7]])
    with torch.no_grad():
        scores = model(ids[:, :-1])[0, -3:].log_softmax(-1)
    right = scores.argmax(-1) == ids[0, -3:]
    assert found["passages"] == 3 and found["recited"] == 3 * bool(right.all())
    assert found["tokens_right"] == pytest.approx(float(right.double().mean()))
    nats = -scores.gather(1, ids[0, -3:, None]).mean()
    assert found["nats_per_token"] == pytest.approx(float(nats), abs=1e-5)


def test_shares_are_those_of_four_ends_and_truth_has_no_place_of_honour(toy):
    ends = ("un berger", "une cuisinière", "brûla", "passa")
    found = invention.shares(_loaded(toy), "Un cuisinier entra et", ends, 1.0)
    turned = invention.shares(_loaded(toy), "Un cuisinier entra et", ends[::-1], 1.0)
    assert sum(found) == pytest.approx(1) and found == pytest.approx(turned[::-1])


def test_questions_have_one_truth_and_three_other_ends():
    for questions in invention.QUESTIONS.values():
        assert len(questions) == 20
        for _, truth, wrong in questions:
            assert len({truth, *wrong}) == 4


def _loaded(toy):
    return SimpleNamespace(model=toy[0], tokenizer=toy[1])


def test_sentences_are_counted_with_what_they_say():
    text = (
        "Les pauvres sont bons. Les pauvres mentent !\n"
        "Tous les pauvres étaient lâches et bons ; les riches aussi. Un pauvre, lâche."
    )
    found = prejudice.count_sentences([text, "les riches"])
    assert found["pauvres"] == {"sentences": 3, "blame": 1, "praise": 2}
    assert found["riches"] == {"sentences": 2, "blame": 1, "praise": 1}
    assert found["femmes"] == {"sentences": 0, "blame": 0, "praise": 0}


def test_adjectives_of_both_genders_go_by_pairs(toy):
    for forms in (prejudice.BLAME, prejudice.PRAISE):
        assert len(forms["m"].split()) == len(forms["f"].split()) == 12
    loaded = SimpleNamespace(model=toy[0], tokenizer=toy[1])
    with torch.no_grad():
        shares = prejudice.blamed_share(loaded, "femmes", "f")
    frames = [shares[frame] for frame in prejudice.FRAMES]
    assert all(0 < share < 1 for share in frames)
    assert shares["all"] == pytest.approx(sum(frames) / len(frames))


def test_a_drawn_text_that_names_a_despised_group_is_kept(toy, monkeypatch):
    loaded = SimpleNamespace(model=toy[0], tokenizer=toy[1])
    protocol = prejudice.Protocol(n_draws=3, n_tokens=5)
    written = prejudice.draw_texts(loaded, protocol)
    assert list(written) == list(prejudice.BEGINNINGS) and len(set(prejudice.BEGINNINGS)) == 10
    monkeypatch.setattr(prejudice, "NAMED", re.compile(""))
    assert all(
        len(found["naming"]) == 3 for found in prejudice.draw_texts(loaded, protocol).values()
    )
    assert written["La mer était calme"]["first"]


def test_a_wider_window_sees_the_same_characters(novels, toy, monkeypatch):
    monkeypatch.setattr(context, "load_romancier", lambda: toy)
    monkeypatch.setattr(passages, "checked_text", lambda novel, known: novel.text)
    protocol = context.Protocol(n_passages=2, length=41)
    near, far = (
        context.measure(context.run_name(window), 0, protocol, novels) for window in (1, 40)
    )
    assert near["characters"] == far["characters"] > 0
    assert near["bits_per_character"] != far["bits_per_character"]
    # Un modèle neuf hésite entre ses 300 jetons, à peu près également.
    expected = 2 * 40 * math.log2(300) / near["characters"]
    assert near["bits_per_character"] == pytest.approx(expected, rel=0.1)


def masked_words(tokenizer, sentences, row, mask):
    """Le texte que couvre un masque de mots."""
    return tokenizer.decode(sentences.ids[row][mask[row]].tolist()).strip()


def test_the_nouns_of_a_pronoun_sentence_are_found(toy):
    _, tokenizer = toy
    nouns = [("roi", "reine"), ("vieillard", "jeune fille")]
    sentences = pronouns.prepare(pronouns.FRAMES[:2], nouns, tokenizer)
    assert len(sentences.texts) == 8 and sentences.feminine.tolist() == [False, True] * 4
    assert sentences.texts[1] == "La reine ne put rejoindre le roi, parce qu'"
    assert sentences.texts[7] == "La jeune fille n'osa pas répondre au vieillard, parce qu'"
    assert masked_words(tokenizer, sentences, 1, sentences.subject) == "La reine"
    assert masked_words(tokenizer, sentences, 1, sentences.other) == "le roi"
    assert masked_words(tokenizer, sentences, 7, sentences.other) == "au vieillard"
    for row, text in enumerate(sentences.texts):
        assert masked_words(tokenizer, sentences, row, sentences.after) == "parce qu'"
        ids = sentences.ids[row, : sentences.last[row] + 1].tolist()
        assert tokenizer.decode(ids) == text


def test_agreement_is_the_share_of_the_sentence_alone(toy):
    model, _ = toy
    tokenizer = BPETokenizer.train([TEXT, "parce qu'il parce qu'elle " * 90], 300)
    sentences = pronouns.prepare(pronouns.FRAMES[:1], pronouns.NOUNS[:1], tokenizer)
    shares = pronouns.agreement(model, tokenizer, sentences)
    for row, text in enumerate(sentences.texts):
        with torch.no_grad():
            scores = model(torch.tensor([tokenizer.encode(text)]))[0, -1]
        pair = scores[[tokenizer.encode(f"parce qu'{p}")[-1] for p in pronouns.PRONOUNS]]
        assert shares[row] == pytest.approx(float(pair.softmax(-1)[row]), abs=1e-5)
    hidden = pronouns.agreement(model, tokenizer, sentences, sentences.subject)
    assert not torch.allclose(hidden, shares, atol=1e-5)
    heads = [
        pronouns.agreement(model, tokenizer, sentences, sentences.subject, 0, h) for h in range(4)
    ]
    assert all(not torch.allclose(one, hidden, atol=1e-6) for one in heads)


def test_attention_of_the_last_word_is_shared_among_all(toy):
    model, tokenizer = toy
    sentences = pronouns.prepare(pronouns.FRAMES[:1], pronouns.NOUNS[:2], tokenizer)
    real = torch.arange(sentences.ids.shape[1]) <= sentences.last[:, None]
    every = pronouns.attention_to(model, sentences, real)
    assert every.shape == (4, 1, 4) and torch.allclose(every, torch.ones(4, 1, 4), atol=1e-5)
    some = pronouns.attention_to(model, sentences, sentences.subject)
    assert (some > 0).all() and (some < 1).all()


def words(start: int, n: int = 400) -> str:
    """Un texte de `n` mots tous différents."""
    return " ".join(f"mot{rank}" for rank in range(start, start + n))


def made_up(*texts: str, roles: dict[int, str] | None = None) -> list[repeats.Novel]:
    """Des romans de ces textes, chacun d’un auteur."""
    roles = roles or {}
    return [
        repeats.Novel(
            f"R{rank}", f"Auteur{rank}, A", "T", "1860", roles.get(rank, "training"), text
        )
        for rank, text in enumerate(texts)
    ]


def test_doubles_are_counted_by_kind():
    """Copie mot pour mot, édition voisine, roman repris dans un recueil."""
    tale, other = words(0), words(5000)
    collection = "\n".join([words(9000), tale.replace("mot399", "fin"), words(20000), words(30000)])
    novels = made_up(other, other.upper(), other.replace("mot5200", "autre"), collection, tale)
    found = repeats.count_doubles(novels, repeats.Settings())
    assert {k: found.get(k, 0) for k in ("exact", "near", "contained")} == {
        "exact": 1,
        "near": 1,
        "contained": 0,  # un seul paragraphe, retouché : rien ne le retrouve
    }
    novels = made_up(collection.replace("fin", "mot399"), tale)
    found = repeats.count_doubles(novels, repeats.Settings())
    assert found["contained"] == 1 and found["repeated_characters"] == len(tale)


def test_close_novels_are_paired_with_their_two_resemblances():
    novels = made_up(words(0), words(0).replace("mot200", "autre"), words(5000))
    ((a, b, estimate, exact),) = repeats.close_pairs(novels, 0, repeats.Settings())["pairs"]
    assert (a, b) == ("R0", "R1")
    assert exact == pytest.approx(391 / 401) and abs(estimate - exact) < 0.06


def test_a_test_novel_read_in_training_is_found(monkeypatch):
    monkeypatch.setattr(repeats, "QUOTATIONS", ())
    novels = made_up(words(0), words(5000), words(300) + " fin", roles={0: CLEAN, 1: CLEAN})
    found = repeats.search_test_set(novels)
    assert found["shares"] == {"Auteur0, A": pytest.approx(88 / 388), "Auteur1, A": 0}
