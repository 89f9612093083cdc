"""Vérifier les tailles d’une configuration avant de bâtir quoi que ce soit."""


def check_sizes(config: object) -> None:
    """Tailles strictement positives, taux d’oubli entre 0 et 1."""
    for name, value in vars(config).items():
        if type(value) is int and value < 1 and name != "pad_id":
            raise ValueError(f"{name} = {value} : il faut un entier strictement positif.")
    if not 0.0 <= config.dropout < 1.0:
        raise ValueError(f"dropout = {config.dropout} : il faut un taux dans [0, 1[.")
    if config.norm_eps <= 0.0:
        raise ValueError(f"norm_eps = {config.norm_eps} : il faut un petit nombre positif (1e-5).")
