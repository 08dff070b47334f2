"""The core and its link, in Amaranth."""
