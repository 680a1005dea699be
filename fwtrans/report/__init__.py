"""What a person reads: coverage, cost, review; terminal, HTML, JSON, SARIF, markdown."""
