"""A trained model answers: on photos, folders and videos, from Python and from the command line."""
