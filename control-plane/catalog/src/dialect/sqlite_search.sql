
-- SQLite's index of the documents that viewers find; its row numbers are those of `document`. FTS5 (sqlite.org/fts5.html)
-- folds case and diacritics, and keeps prefixes of two and three characters for words that are still being typed.
CREATE VIRTUAL TABLE document_index USING fts5 (
    title, description, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
