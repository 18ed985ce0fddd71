"""The page of a run, the page that compares runs, the model card: of the facts in a work dir."""
