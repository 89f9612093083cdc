"""`evaluating` : chaque sous-module retrouve son propre mode, même après une erreur."""

import pytest
import torch

from course_lib.distillation.soft_targets import teacher_logits
from course_lib.generation import generate
from course_lib.pruning import head_importance
from course_lib.training import SequenceBatches, evaluate_loss
from course_lib.transformer import LlamaConfig, evaluating, llama

SOURCE = SequenceBatches([[3, 5, 7], [11, 13]], 2)


def fail(model, batch):
    raise RuntimeError("une erreur")


def failing_use(use):
    def run(model):
        with pytest.raises(RuntimeError, match="une erreur"):
            use(model)

    return run


USES = {
    "evaluate_loss": lambda model: evaluate_loss(model, SOURCE),
    "evaluate_loss, erreur": failing_use(lambda model: evaluate_loss(model, SOURCE, fail)),
    "generate": lambda model: generate(model, [[1, 3]], 2),
    "head_importance": lambda model: head_importance(model, [SOURCE.batch(0)]),
    "head_importance, erreur": failing_use(
        lambda model: head_importance(model, [SOURCE.batch(0)], fail)
    ),
    "enseignant": lambda model: teacher_logits(model, SOURCE.batch(0)[0]),
}


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


@pytest.fixture(params=["apprend", "évalue", "un étage figé", "un étage qui apprend"])
def model(request):
    model = llama(LlamaConfig(17, 11, 8, 2, 2, dropout=0.5), seed=0)
    if request.param in ("évalue", "un étage qui apprend"):
        model.eval()
    if request.param == "un étage figé":
        model.blocks[0].eval()
    if request.param == "un étage qui apprend":
        model.blocks[1].train()
    return model


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_reading_gives_each_module_its_mode_back(model, use):
    before = modes(model)
    use(model)
    assert modes(model) == before


def test_inside_nothing_is_forgotten_and_outside_all_is_as_before(model):
    before, ids = modes(model), torch.tensor([[1, 2, 3]])
    with evaluating(model):
        assert not any(modes(model).values())
        assert torch.equal(model(ids), model(ids))
        with evaluating(model):
            pass
        assert not any(modes(model).values())
    assert modes(model) == before
