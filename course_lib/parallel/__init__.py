"""Entraîner sur plusieurs processus, d’une machine ou de plusieurs.

La boucle est celle de `course_lib.training` : on lui donne une équipe (`workers`). Le lot global et
son ordre ne changent pas, et le résultat est celui d’un processus seul, aux arrondis près.

**Sur une machine**, deux processus :

    torchrun --standalone --nproc-per-node 2 -m course_lib train --corpus mon_texte.txt

Trois façons de partager le travail, au choix :

    --parallel ddp      chacun a tout le modèle et une part de chaque lot (par défaut)
    --parallel fsdp     de plus, chacun ne garde qu’une part des poids et des moments
    --parallel tensor   tous lisent le même lot, chacun calcule une part de chaque couche

**Sur plusieurs machines**, la même commande sur chacune, à son rang près. Sur la première, dont
l’adresse est ici 192.0.2.10 :

    torchrun --nnodes 2 --node-rank 0 --nproc-per-node 2 --rdzv-endpoint 192.0.2.10:29500
        -m course_lib train --corpus mon_texte.txt

et sur la seconde, `--node-rank 1`. Le texte doit être sur toutes ; seule la première écrit les
points de reprise et le modèle. (Avec `--rdzv-backend c10d`, torchrun distribue les rangs à sa
guise : toute machine peut devenir la première, il faut alors un dossier commun.) Si une machine a
plusieurs réseaux, la variable d’environnement GLOO_SOCKET_IFNAME nomme le bon, par exemple `eth0`.

**Sur des GPU**, ajoutez `--device cuda` : un processus par GPU, qui se parlent par NCCL. (Ce cours
s’écrit sur des machines sans GPU : `benchmarks/device_check.py` éprouve la vôtre, à un processus.)

**Un processus meurt**, une machine redémarre : relancez la même commande, ou laissez
`--max-restarts 3` le faire (après `--nproc-per-node 2`). L’équipe reprend au dernier point de
reprise. On refait au plus les `checkpoint_every` pas qui le suivaient, et l’on obtient les mêmes
poids, au bit près, que sans l’accident. On peut aussi reprendre avec un autre nombre de processus,
ou un autre partage : aux arrondis près, et à condition que le modèle n’ait pas de dropout, rien ne
change.

Depuis un programme : `run_processes(fonction, 2)`, où la fonction appelle
`train(..., workers=build_team("ddp"))`.
"""

from course_lib.parallel.meter import CommunicationMeter
from course_lib.parallel.processes import (
    DEFAULT_STRATEGY,
    STRATEGIES,
    WorkerLost,
    build_team,
    open_workers,
    run_processes,
)
from course_lib.parallel.ring import ring_turns
from course_lib.parallel.volumes import (
    Volume,
    data_parallel_volume,
    fully_sharded_volume,
    tensor_parallel_volume,
)

__all__ = [
    "DEFAULT_STRATEGY",
    "STRATEGIES",
    "CommunicationMeter",
    "Volume",
    "WorkerLost",
    "build_team",
    "data_parallel_volume",
    "fully_sharded_volume",
    "open_workers",
    "ring_turns",
    "run_processes",
    "tensor_parallel_volume",
]
