"""One adapter for all models that hand a picture over to a language model, from what they do and not what they are."""
