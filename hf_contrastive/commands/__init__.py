"""Groups of commands: `hf-contrastive words | graph | hypernymy ...`."""
