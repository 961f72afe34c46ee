"""What `import scdfm` offers: AnnData in, AnnData and tables out. Nothing here starts Ray."""
