"""Tests of the fragments: what is shown adds up, rounds against the user and never lets text become markup."""
