"""Google's wire format: generateContent and its kin (shapes as of google-genai 3.4, 2026-11)."""
