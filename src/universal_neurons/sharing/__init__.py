"""Evidence that leaves this machine and evidence that comes to it: exports, imports, and where they may lie."""
