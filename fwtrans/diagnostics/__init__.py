"""Error codes, carets, hints."""

from fwtrans.diagnostics.codes import CODES, Code, Severity
from fwtrans.diagnostics.diagnostic import Diagnostic, DiagnosticSink, Refused

__all__ = ["CODES", "Code", "Diagnostic", "DiagnosticSink", "Refused", "Severity"]
