"""Demi-précision : des modèles entiers, aussi justes que ceux de `transformers` du même type."""

import torch

HALVES = [torch.float16, torch.bfloat16]
