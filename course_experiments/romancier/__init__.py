"""Ce que le romancier fait et ne fait pas, mesuré : chaque module a sa commande et son relevé."""
