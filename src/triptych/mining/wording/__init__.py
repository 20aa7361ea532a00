"""Changes in English: a lexicon, the forms of a word, a small grammar, styles, and a bounded set of texts."""
