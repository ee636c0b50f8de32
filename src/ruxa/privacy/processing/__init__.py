"""The record of processing (GDPR Article 30): every place that holds data, what it declares, and its exports."""
