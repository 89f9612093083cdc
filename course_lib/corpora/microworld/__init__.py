"""Le micro-monde : histoires, questions et traductions dont la loi exacte est connue."""
