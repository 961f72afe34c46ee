"""Which configurations are tried: proposed, left out, stopped early, trained again."""
