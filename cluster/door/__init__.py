"""The front door, `import scdfm`: AnnData in, AnnData and tables out. Nothing here starts Ray itself."""
