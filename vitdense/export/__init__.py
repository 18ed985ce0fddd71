"""Models as files of other runtimes, each with a proof that it computes the same."""
