"""What was said and made: a ledger of verdicts, searches, paintings, and what people said of them."""
