"""De vrais poids, dans nos modèles et hors d’eux.

    load_pretrained   un fichier GGUF ou un dossier Hugging Face → modèle, tokeniseur, gabarit
    save_folder       un de nos modèles → un dossier que lit transformers
    save_gguf         un de nos modèles → un fichier que lit llama.cpp

`smollm2_path()` et `minilm_folder()` : les deux modèles publiés que le cours emploie, obtenus par
`python -m course_lib.pretrained`.
"""

from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.gguf.reader import GGUFFile
from course_lib.pretrained.loading import Pretrained, load_pretrained
from course_lib.pretrained.saving import save_folder, save_gguf
from course_lib.pretrained.sentences import sentence_embeddings
from course_lib.pretrained.store import minilm_folder, smollm2_path

__all__ = [
    "ChatTemplate",
    "GGUFFile",
    "Pretrained",
    "load_pretrained",
    "minilm_folder",
    "save_folder",
    "save_gguf",
    "sentence_embeddings",
    "smollm2_path",
]
