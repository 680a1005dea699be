"""IR to nft objects to text or JSON."""
