"""siproster: bulk import of SIP credentials into Bandwidth's Registrar."""

__version__ = "0.1.0"
