"""L’expérience du pronom : positions, traduction gloutonne, interventions, fichier livré."""

import json
from dataclasses import replace

import pytest
import torch

from course_experiments import pronoun
from course_experiments.pronoun import __main__ as command
from course_experiments.pronoun import causality, models, probing
from course_experiments.pronoun.task import noun_group, prepare
from course_lib.corpora import famous_pair, generate_pairs, minimal_pairs
from course_lib.evaluation.intervals import wilson_interval
from course_lib.training import History
from course_lib.transformer import count_parameters

WORDS = pronoun.vocabulary()
PAIRS = minimal_pairs(7, seed=5)


@pytest.fixture(scope="module")
def translator():
    return pronoun.build_translator(WORDS, seed=3).eval()


@pytest.fixture(scope="module")
def encoder():
    return pronoun.build_gloss_encoder(WORDS, seed=3).eval()


def test_wilson_matches_published_values():
    # Newcombe 1998 (doi:10.1002/sici…17:8<857), tableau I : 81/263 et 0/20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    with pytest.raises(ValueError, match="3 succès sur 2 essais"):
        wilson_interval(3, 2)


def test_vocabulary_covers_every_split():
    for split in ("train", "held_out"):
        for pair in generate_pairs(500, split, n_clauses=2, seed=9):
            assert WORDS.english.unk_id not in WORDS.english.encode(pair.english)
            assert WORDS.french.unk_id not in WORDS.french.encode(pair.french)
            assert WORDS.gloss.unk_id not in WORDS.gloss.encode(pair.gloss)


def test_prepared_positions_point_at_the_right_words():
    sentences = prepare([pair[0] for pair in PAIRS], WORDS)
    for row, (pair, _) in enumerate(PAIRS):
        clause, english = pair.clauses[0], pair.english.split()
        assert english[sentences.pronoun[row]] == "it"
        french = [WORDS.french.tokens[i] for i in sentences.target[row, 1:].tolist()]
        expected = "elle" if sentences.feminine[row] else "il"
        assert french[sentences.french_pronoun[row]] == expected
        group = [english[i] for i in sentences.referent[row].nonzero()[:, 0].tolist()]
        assert group[0] == "the" and group[-1] == clause.agent_word
        assert not (sentences.agent & sentences.place).any()


def test_noun_group_goes_back_to_the_article():
    assert noun_group(["near", "the", "dog", "the", "white", "cat"], 5) == [3, 4, 5]


@pytest.mark.slow
def test_greedy_translation_equals_the_uncached_one(translator):
    sources = [pair.english for pair in generate_pairs(3, "held_out", seed=4)]
    together = pronoun.greedy_translate(translator, sources, WORDS, max_length=12)
    for source, translation in zip(sources, together, strict=True):
        ids, target = torch.tensor([WORDS.english.encode(source)]), [WORDS.french.bos_id]
        while len(target) <= 12 and target[-1] != WORDS.french.eos_id:
            logits = translator(ids, torch.tensor([target]))
            target.append(int(logits[0, -1].argmax()))
        kept = [WORDS.french.tokens[i] for i in target[1:] if i != WORDS.french.eos_id]
        assert translation == " ".join(kept)


def test_scores_count_words_and_pronouns(encoder):
    pairs = generate_pairs(5, "train", n_clauses=2, seed=1)
    scores = pronoun.gloss_scores(encoder, pairs, WORDS)
    assert scores["sentences"] == 5 and scores["pronouns"] == 10
    assert scores["exact"] <= scores["right_pronouns"] <= 10


def test_attention_masses_and_contrast(encoder):
    agent, place = causality._masses(encoder, [pair[0] for pair in PAIRS], WORDS)
    assert agent.shape == (7, 3, 1) and bool(((agent + place) <= 1).all())
    swapped = [(second, first) for first, second in PAIRS]
    contrast = pronoun.attention_contrast(encoder, PAIRS, WORDS)
    torch.testing.assert_close(pronoun.attention_contrast(encoder, swapped, WORDS), -contrast)
    # Les deux phrases ne diffèrent que par l’adjectif : chaque ligne d’attention somme à 1.
    contrast_map = pronoun.contrast_map(encoder, famous_pair(), WORDS)
    torch.testing.assert_close(contrast_map.sum(1), torch.zeros(3), atol=1e-5, rtol=0)


def test_patching_everything_gives_the_answer_of_the_twin(translator):
    """Greffer tous les mots revient à traduire la jumelle : juste devient faux, et l’inverse."""
    both = [prepare([pair[side] for pair in PAIRS], WORDS) for side in (0, 1)]
    errors = pronoun.translator_interventions(translator, PAIRS, WORDS)
    with causality.record_activations(translator, ["encoder"]) as donor:
        translator(both[1].source, both[1].target[:, :1])
    with causality.patched_activations(translator, donor):
        patched = translator(both[0].source, both[0].target[:, :-1])
    plain = translator(both[1].source, both[0].target[:, :-1])
    torch.testing.assert_close(patched, plain)
    assert all(0 <= count <= 14 for count in errors.values())


def test_masked_words_no_longer_matter(encoder):
    """« it » coupé de tout autre mot rend la même réponse quelle que soit la phrase."""
    sentences = prepare([pair[0] for pair in PAIRS[:1]], WORDS)
    reads = causality._reads(sentences, ~sentences.at(sentences.pronoun))
    changed = sentences.source.clone()
    changed[0, 1] = WORDS.english.token_to_id["dog"]
    with causality.masked_edges(encoder, reads):
        before, after = encoder(sentences.source), encoder(changed)
    position = int(sentences.pronoun)
    torch.testing.assert_close(before[0, position], after[0, position])
    assert not torch.allclose(before[0, 1], after[0, 1])


def test_recurrent_models_have_the_size_of_the_translator(translator):
    size = count_parameters(translator)
    for attention in (True, False):
        rival = count_parameters(pronoun.build_recurrent(WORDS, attention))
        assert rival == pytest.approx(size, rel=0.01)


def test_command_writes_resumes_and_refuses_stale_settings(tmp_path, monkeypatch, capsys):
    recipe = replace(models.GLOSS, n_sentences=64, n_steps=3, batch_size=8)
    output = tmp_path / "mesures.json"
    arguments = ["--models", "gloss", "--seeds", "0", "--output", str(output)]
    tiny = replace(command.EXPERIMENT, settings=command.Settings({"gloss": recipe}, 4, 3))
    monkeypatch.setattr(models, "_config", _short_config)
    assert tiny.main(arguments) == 0
    first = output.read_text("utf-8")
    assert tiny.main(arguments) == 0
    assert "Rien à mesurer" in capsys.readouterr().out
    assert output.read_text("utf-8") == first
    run = json.loads(first)["runs"]["gloss"]["0"]
    assert run["answers"] == 6 and len(run["attention_contrast"]) == 3
    other = replace(tiny, settings=command.Settings({"gloss": recipe}, 5, 3))
    assert other.missing([0], output) != []


def _short_config(recipe, seed, eval_every=0):
    return models.TrainingConfig(recipe.n_steps, recipe.learning_rate, seed=seed, n_threads=1)


def test_five_seeds_of_the_two_models_are_shipped():
    runs = pronoun.load_results()["runs"]
    for name in ("gloss", "translator"):
        assert sorted(runs[name]) == ["0", "1", "2", "3", "4"]


@pytest.mark.slow
def test_the_shipped_translator_is_the_first_seed_of_the_record():
    """Ses poids, relus, redonnent ce que le relevé dit de lui, à l'arrondi près."""
    model, entry = pronoun.load_translator(), pronoun.load_results()["runs"]["translator"]["0"]
    assert count_parameters(model) == entry["parameters"] and not model.training
    sources = [pair.english for pair in famous_pair()]
    assert pronoun.greedy_translate(model, sources, WORDS) == entry["famous"]
    pairs = minimal_pairs(entry["answers"] // 2, seed=models.TEST_SEED)
    contrast = pronoun.attention_contrast(model, pairs, WORDS)
    torch.testing.assert_close(
        contrast, torch.tensor(entry["attention_contrast"]), atol=0.02, rtol=0
    )


def test_the_command_writes_the_translator_beside_its_record(tmp_path, monkeypatch, capsys):
    output = tmp_path / "mesures.json"
    weights = tmp_path / "traducteur" / "model.safetensors"
    model = pronoun.build_translator(WORDS, seed=3)
    monkeypatch.setattr(models, "train_translator", lambda *_, **__: (model, History()))
    monkeypatch.setattr(command, "_translation_scores", lambda *_: {})
    tiny = replace(command.EXPERIMENT, settings=command.Settings(minimal_pairs=3))
    arguments = ["--models", "translator", "--seeds", "0", "--output", str(output)]
    assert tiny.main(arguments) == 0
    again = pronoun.load_translator(weights)
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-3)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="--models translator --seeds 0"):
        pronoun.load_translator(weights)
    assert tiny.main(arguments) == 0 and weights.is_file()  # déjà mesuré, mais les poids manquent
    capsys.readouterr()
    assert tiny.main(arguments) == 0
    assert "Rien à mesurer" in capsys.readouterr().out


def test_missing_results_say_which_command_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m course_experiments\.pronoun"):
        pronoun.load_results(tmp_path / "pronoun.json")


def test_a_probe_finds_what_is_written_and_only_that():
    generator = torch.Generator().manual_seed(0)
    states, new = (torch.randn(n, 8, generator=generator) for n in (400, 200))
    written = [(s[:, 2] - s[:, 5] > 0).float() for s in (states, new)]
    assert probing.probe_accuracy(states, written[0], new, written[1]) > 0.95
    crossed = [(s[:, 2] * s[:, 5] > 0).float() for s in (states, new)]  # rien de linéaire
    assert probing.probe_accuracy(states, crossed[0], new, crossed[1]) < 0.62
    same = torch.ones(400, 8)  # un vecteur constant ne dit rien
    assert probing.probe_accuracy(same, written[0], same[:200], written[1]) == pytest.approx(
        written[1].mean().item(), abs=0.2
    )


def test_probed_words_are_the_right_ones(translator):
    pairs = [pair[0] for pair in PAIRS]
    states = probing.word_states(translator, pairs, WORDS)
    assert set(states) == {*probing.WORDS, "it, à l’entrée"}
    for row, pair in enumerate(pairs):
        ids = torch.tensor([WORDS.english.encode(pair.english)])
        with torch.no_grad():
            alone = translator.encoder(ids)[0]
        english = pair.english.split()
        places = {
            "it": english.index("it"),
            "adjectif": pair.clauses[0].adjective,
            "premier mot": 0,
        }
        for word, place in places.items():
            assert torch.allclose(states[word][row], alone[place], atol=1e-4), word
        assert english[0] == "the"
    assert torch.unique(states["it, à l’entrée"].round(decimals=4), dim=0).shape[0] <= len(
        {pair.english.split().index("it") for pair in pairs}
    )  # à l’entrée, seule la place distingue deux « it »


def test_probe_answers_and_opposed_genders():
    pairs = [sentence for pair in PAIRS for sentence in pair]
    answers = probing.labels(pairs)
    assert answers["référent"].tolist() == [0.0, 1.0] * len(PAIRS)
    assert answers["genre"][0::2].tolist() == (1 - answers["genre"][1::2]).tolist()
    assert probing.opposed(pairs) == pairs
    drawn = generate_pairs(200, "train", seed=8)
    assert 60 < len(probing.opposed(drawn)) < 140


def test_cutting_the_past_leaves_the_rest_of_the_sentence(translator):
    errors = pronoun.translator_interventions(translator, PAIRS, WORDS)
    assert "own_past" in errors
    assert all(0 <= count <= 2 * len(PAIRS) for count in errors.values())


def test_the_probing_record_has_five_seeds_that_translate():
    runs = probing.EXPERIMENT.load()["runs"]["translator"]
    assert list(runs) == ["0", "1", "2", "3", "4"]
    for run in runs.values():
        assert run["errors"]["none"] == 0
        assert set(run["probes"]) == set(probing.QUESTIONS)
